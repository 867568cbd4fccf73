//! Facts about stored files.

use keywright_domain::FileId;
use keywright_store::{BlobKey, StoredFile};

use crate::bench::Bench;

pub(crate) async fn a_file_is_found_by_its_id(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let file = StoredFile {
        id: FileId::from_entropy(bench.entropy()),
        workspace: bench.workspace.clone(),
        project,
        name: "rechnung größe.pdf".to_owned(),
        content_type: None,
        size_bytes: 5_000_000_000,
        blob: BlobKey::parse("files/x").unwrap(),
        created_at: bench.now(),
    };
    assert_eq!(bench.store.get_file(&file.id).await.unwrap(), None);
    bench.store.insert_file(file.clone()).await.unwrap();
    assert_eq!(bench.store.get_file(&file.id).await.unwrap(), Some(file.clone()));
    assert!(bench.store.insert_file(file).await.is_err());
}
