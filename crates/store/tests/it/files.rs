//! Facts about stored files.

use keywright_store::StoredFile;

use crate::bench::Bench;

pub(crate) async fn a_file_is_found_by_its_id(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    let file = bench.file(&project, bench.blob(5_000_000_000));
    assert_eq!(bench.store.get_file(&file.id).await.unwrap(), None);
    bench.store.insert_file(file.clone()).await.unwrap();
    let stored = bench.store.get_file(&file.id).await.unwrap().unwrap();
    assert!(stored.created_at > file.created_at, "the moment is the database's");
    assert_eq!(stored, StoredFile { created_at: stored.created_at, ..file.clone() });
    assert!(bench.store.insert_file(file).await.is_err());
}
