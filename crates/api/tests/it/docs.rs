//! `GET /docs`: a page that works without the rest of the world.

use crate::world::World;

#[tokio::test]
async fn the_page_and_all_its_files_are_ours() {
    let world = World::new().await;
    let redirect = world.get("/docs").without("x-api-key").send().await;
    assert_eq!((redirect.status.as_u16(), redirect.header("location")), (308, "/docs/"));
    let page = world.get("/docs/").without("x-api-key").send().await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    let html = String::from_utf8(page.body.clone()).unwrap();
    assert!(!html.contains("://"), "the page names another server: {html}");
    let files: Vec<&str> = html
        .split(['"', '\''])
        .filter(|text| text.starts_with("./") || text.ends_with(".css") || text.ends_with(".js"))
        .map(|text| text.trim_start_matches("./"))
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let answer = world.get(&format!("/docs/{file}")).without("x-api-key").send().await;
        assert_eq!(answer.status, 200, "{file}");
        if file.ends_with(".js") {
            assert_eq!(answer.header("content-type"), "text/javascript; charset=utf-8", "{file}");
        }
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("connect-src 'self'") && !policy.contains("://"),
            "{policy}"
        );
    }
    let start = world.get("/docs/swagger-initializer.js").without("x-api-key").send().await;
    let script = String::from_utf8(start.body).unwrap();
    assert!(script.contains("\"/openapi.json\"") && script.contains("\"validatorUrl\": \"none\""), "{script}");
}

#[tokio::test]
async fn nothing_else_is_served_there() {
    let world = World::new().await;
    for path in ["/docs/nothing.js", "/docs/..%2f..%2fetc%2fpasswd", "/docs/swagger-ui-bundle.js.map"] {
        assert_eq!(world.get(path).send().await.refusal(), (404, "not-found".to_owned()), "{path}");
    }
}
