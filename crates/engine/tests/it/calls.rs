//! What user code may ask of the platform, as it reaches the store.

use std::sync::Arc;

use keywright_domain::{FileId, RunKind, Stage};
use keywright_store::Clock as _;

use crate::script::Act;
use crate::world::{Ask, World};

#[tokio::test]
async fn a_stored_file_can_be_read_through_its_link_and_values_outlive_the_run() {
    let world = World::new();
    let server = world.start().await;
    world.site.script(Stage::Api, [Act::StoreFile("invoice.txt")]);
    let (run, _) = server.finish(Ask { session: None, ..Ask::new(RunKind::Api) }).await;
    let result = server.output(&run).await.result.unwrap();

    let file = server.store.get_file(&FileId::parse(result["id"].as_str().unwrap()).unwrap()).await.unwrap().unwrap();
    assert_eq!((file.name.as_str(), file.content_type.as_deref(), file.size_bytes), ("invoice.txt", Some("text/plain"), 7));
    let bytes = server.blobs.get(&world.workspace, &file.blob).await.unwrap().unwrap();
    assert_eq!(bytes, "content");

    let url = result["url"].as_str().unwrap();
    let query: Vec<&str> = url.rsplit(['?', '&', '=']).collect();
    let (signature, expires_s) = (query[0], query[2].parse().unwrap());
    let days = |count: i64| world.time.node_clock(0, &Arc::default()).now().plus_seconds(count * 24 * 60 * 60);
    assert!(server.links.verify(&file.id, expires_s, signature, days(6)));
    assert!(!server.links.verify(&file.id, expires_s, signature, days(8)));

    let kept = server.store.get_value(&world.workspace, &world.project, "last-file").await.unwrap();
    assert_eq!(kept.unwrap().as_str(), Some(url));
}
