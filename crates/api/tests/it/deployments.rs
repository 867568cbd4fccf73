//! Uploads, and what they become.

use flate2::Compression;
use flate2::write::GzEncoder;
use keywright_domain::DeploymentId;
use keywright_store::{BlobKey, Deployments as _};
use serde_json::json;

use crate::world::World;

fn archive() -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, content) in [("Intuned.json", "{}"), ("package.json", "{}"), ("api/orders.ts", "export default async () => 1")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn an_upload_is_stored_whole_and_waits_for_its_build() {
    let world = World::new().await;
    let bytes = archive();
    let answer = world
        .ask("PUT", "/projects/new-one/deployments")
        .header("content-type", "application/gzip")
        .bytes(bytes.clone())
        .send()
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    insta::assert_json_snapshot!(answer.json(), {
        ".id" => "[id]", ".createdAt" => "[time]", ".digest" => "[digest]", ".sizeBytes" => "[size]"
    }, @r#"
    {
      "id": "[id]",
      "projectName": "new-one",
      "status": "building",
      "isActive": false,
      "apis": [],
      "problems": [],
      "warnings": [],
      "digest": "[digest]",
      "sizeBytes": "[size]",
      "createdAt": "[time]"
    }
    "#);
    assert_eq!(answer.json()["sizeBytes"], bytes.len());
    let id = DeploymentId::parse(answer.json()["id"].as_str().unwrap()).unwrap();
    assert_eq!(world.store.claim_build(&world.worker).await.unwrap().unwrap().id, id);
    let key = BlobKey::archive(&id);
    assert_eq!(world.blobs.get(&world.workspace, &key).await.unwrap().unwrap(), bytes);
    // The project exists from now on, without anything to run.
    let run = world.post_json("/projects/new-one/run/start", &json!({"api": "orders", "parameters": {}})).send().await;
    assert_eq!(run.refusal(), (400, "bad-request".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_an_archive_is_refused_at_once() {
    let world = World::new().await;
    for body in [
        b"".as_slice(),
        b"not a tar",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00truncated",
        b"PK\x03\x04000000000000000000000000",
        &[0; 1000],
    ] {
        let answer = world
            .ask("PUT", "/projects/shop/deployments")
            .header("content-type", "application/gzip")
            .bytes(body.to_vec())
            .send()
            .await;
        assert_eq!(answer.refusal(), (400, "bad-request".to_owned()), "{body:?}");
    }
    let upload = |name: &str| world.ask("PUT", name).bytes(archive());
    for media in ["application/json", "multipart/form-data; boundary=x", "text/plain"] {
        let answer = upload("/projects/shop/deployments").header("content-type", media).send().await;
        assert_eq!(answer.refusal(), (415, "unsupported-media-type".to_owned()), "{media}");
    }
    let encoded = upload("/projects/shop/deployments").header("content-encoding", "gzip").send().await;
    assert_eq!(encoded.refusal(), (415, "unsupported-media-type".to_owned()));
    let too_large = upload("/projects/shop/deployments").header("content-length", "67108865").send().await;
    assert_eq!(too_large.refusal(), (413, "payload-too-large".to_owned()));
    let long = "a".repeat(101);
    for name in ["..", "a%2Fb", "%3Cscript%3E", "__proto__", "a%20b", "-a", "%C3%A4", long.as_str()] {
        let answer = upload(&format!("/projects/{name}/deployments")).send().await;
        assert_eq!(answer.refusal(), (400, "bad-request".to_owned()), "{name}");
    }
    assert_eq!(world.store.claim_build(&world.worker).await.unwrap(), None);
}

#[tokio::test]
async fn an_upload_without_a_media_type_is_told_by_its_first_bytes() {
    let world = World::new().await;
    for media in [None, Some("application/x-gzip"), Some("Application/Octet-Stream")] {
        let ask = world.ask("PUT", "/projects/shop/deployments").bytes(archive());
        let ask = match media {
            Some(media) => ask.header("content-type", media),
            None => ask,
        };
        assert_eq!(ask.send().await.status, 201, "{media:?}");
    }
}

#[tokio::test]
async fn deployments_are_listed_newest_first_and_read_one_by_one() {
    let world = World::new().await;
    let second = world.deploy("shop", &json!({"authSessions": {"enabled": true}})).await;
    let listed = world.get("/projects/shop/deployments").send().await.json();
    let listed = listed["deployments"].as_array().unwrap();
    assert_eq!(listed.iter().map(|one| one["isActive"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false]);
    assert_eq!(listed[0]["id"], second.as_str());
    let one = world.get(&format!("/projects/shop/deployments/{second}")).send().await.json();
    assert_eq!(one, listed[0]);
    assert_eq!(
        (&one["status"], &one["language"], &one["apis"]),
        (&json!("ready"), &json!("node"), &json!(["orders", "orders/details"]))
    );
    assert_eq!(one["warnings"], json!([{"file": "package.json", "message": "a warning"}]));

    let broken = world.get("/projects/broken/deployments").send().await.json();
    assert_eq!(broken["deployments"][0]["problems"], json!([{"file": "api/a.ts", "line": 3, "message": "no"}]));
    assert_eq!(broken["deployments"][0]["status"], "failed");
}

#[tokio::test]
async fn an_earlier_deployment_can_be_activated_again_and_a_failed_one_cannot() {
    let world = World::new().await;
    let first = world.get("/projects/shop/deployments").send().await.json()["deployments"][0]["id"].as_str().unwrap().to_owned();
    world.deploy("shop", &json!({"authSessions": {"enabled": true}})).await;
    let answer = world.post(&format!("/projects/shop/deployments/{first}/activate")).send().await;
    assert_eq!((answer.status.as_u16(), answer.json()["isActive"].clone()), (200, json!(true)));
    let listed = world.get("/projects/shop/deployments").send().await.json();
    assert_eq!((&listed["deployments"][0]["isActive"], &listed["deployments"][1]["isActive"]), (&json!(false), &json!(true)));

    let broken =
        world.get("/projects/broken/deployments").send().await.json()["deployments"][0]["id"].as_str().unwrap().to_owned();
    let answer = world.post(&format!("/projects/broken/deployments/{broken}/activate")).send().await;
    assert_eq!(answer.refusal(), (400, "bad-request".to_owned()));
    for path in [format!("/projects/plain/deployments/{first}"), "/projects/shop/deployments/unknown".to_owned()] {
        assert_eq!(world.get(&path).send().await.refusal(), (404, "not-found".to_owned()), "{path}");
        assert_eq!(world.post(&format!("{path}/activate")).send().await.refusal(), (404, "not-found".to_owned()), "{path}");
    }
}
