//! `GET …/projects`.

use crate::world::World;

#[tokio::test]
async fn projects_are_listed_by_name() {
    let world = World::new().await;
    let answer = world.get("/projects").send().await;
    insta::assert_json_snapshot!(answer.json(), {
        ".projects[].createdAt" => "[time]", ".projects[].activeDeploymentId" => "[deployment]"
    }, @r#"
    {
      "projects": [
        {
          "name": "broken",
          "authSessionsEnabled": false,
          "apis": [],
          "createdAt": "[time]"
        },
        {
          "name": "closed",
          "activeDeploymentId": "[deployment]",
          "authSessionsEnabled": false,
          "apis": [
            "orders",
            "orders/details"
          ],
          "createdAt": "[time]"
        },
        {
          "name": "plain",
          "activeDeploymentId": "[deployment]",
          "authSessionsEnabled": false,
          "apis": [
            "orders",
            "orders/details"
          ],
          "createdAt": "[time]"
        },
        {
          "name": "shop",
          "activeDeploymentId": "[deployment]",
          "authSessionsEnabled": true,
          "apis": [
            "orders",
            "orders/details"
          ],
          "createdAt": "[time]"
        }
      ]
    }
    "#);
}
