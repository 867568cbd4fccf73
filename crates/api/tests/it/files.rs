//! `GET /files/{fileId}`: the link is the key.

use bytes::Bytes;
use keywright_domain::FileId;
use keywright_store::{BlobKey, Clock as _, FileLinks, Files as _, StoredFile};

use crate::world::World;

async fn store_file(world: &World, name: &str, content_type: Option<&str>) -> FileId {
    let id = FileId::from_entropy([11; 21]);
    let blob = BlobKey::parse("files/one").unwrap();
    world.blobs.put(&world.workspace, &blob, Bytes::from_static(b"<script>alert(1)</script>")).await.unwrap();
    let file = StoredFile {
        id: id.clone(),
        workspace: world.workspace.clone(),
        project: world.project_id("plain").await,
        name: name.to_owned(),
        content_type: content_type.map(str::to_owned),
        size_bytes: 25,
        blob,
        created_at: world.clock.now(),
    };
    world.store.insert_file(file).await.unwrap();
    id
}

fn path_of(link: &str) -> String {
    link.trim_start_matches("http://127.0.0.1:1").to_owned()
}

#[tokio::test]
async fn whoever_holds_the_link_may_save_the_file_and_nothing_in_it_runs() {
    let world = World::new().await;
    let id = store_file(&world, "r\u{e4}port \"1\".html", Some("text/html")).await;
    let link = path_of(&world.links.link(&id, world.clock.now().plus_seconds(60)));
    let answer = world.get(&link).without("x-api-key").send().await;
    assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, b"<script>alert(1)</script>".as_slice()));
    assert_eq!(
        answer.header("content-disposition"),
        "attachment; filename=\"r_port _1_.html\"; filename*=UTF-8''r%C3%A4port%20%221%22.html"
    );
    assert!(answer.header("content-security-policy").contains("sandbox"));
    assert_eq!(answer.header("content-type"), "text/html");
}

#[tokio::test]
async fn a_media_type_that_is_none_becomes_plain_bytes() {
    let world = World::new().await;
    let id = store_file(&world, "x", Some("text/html\r\nx-evil: 1")).await;
    let link = path_of(&world.links.link(&id, world.clock.now().plus_seconds(60)));
    let answer = world.get(&link).without("x-api-key").send().await;
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert!(!answer.headers.contains_key("x-evil"));
}

#[tokio::test]
async fn a_link_that_is_not_good_is_a_404_whatever_is_wrong_with_it() {
    let world = World::new().await;
    let id = store_file(&world, "x", None).await;
    let good = path_of(&world.links.link(&id, world.clock.now().plus_seconds(60)));
    let forged = path_of(&FileLinks::new(String::new(), [6; 32]).link(&id, world.clock.now().plus_seconds(60)));
    let unknown = path_of(&world.links.link(&FileId::from_entropy([12; 21]), world.clock.now().plus_seconds(60)));
    let mut messages = Vec::new();
    for link in [
        forged,
        unknown,
        good.replace("expires=1", "expires=2"),
        good.replace("expires=", "expires=x"),
        good.split('?').next().unwrap().to_owned(),
        "/files/x?expires=1&signature=x".to_owned(),
    ] {
        let answer = world.get(&link).send().await;
        assert_eq!(answer.refusal(), (404, "not-found".to_owned()), "{link}");
        messages.push(answer.message());
    }
    world.clock.pass_seconds(61);
    let expired = world.get(&good).send().await;
    assert_eq!(expired.refusal(), (404, "not-found".to_owned()));
    assert!(messages.iter().all(|message| *message == expired.message()));
}
