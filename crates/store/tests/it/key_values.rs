//! Facts about the values of user code.

use keywright_domain::WorkspaceId;
use serde_json::json;

use crate::bench::Bench;

pub(crate) async fn the_last_writer_wins(bench: &Bench) {
    let project = bench.project("shop", 1).await;
    assert_eq!(bench.store.get_value(&bench.workspace, &project, "cursor").await.unwrap(), None);
    for value in [json!({ "page": 1, "b": [null, 1.5] }), json!(null), json!("x")] {
        bench.store.set_value(&bench.workspace, &project, "cursor", value.clone()).await.unwrap();
        assert_eq!(bench.store.get_value(&bench.workspace, &project, "cursor").await.unwrap(), Some(value));
    }
}

pub(crate) async fn projects_do_not_share_values(bench: &Bench) {
    let (one, two) = (bench.project("one", 1).await, bench.project("two", 1).await);
    bench.store.set_value(&bench.workspace, &one, "k", json!(1)).await.unwrap();
    assert_eq!(bench.store.get_value(&bench.workspace, &two, "k").await.unwrap(), None);
    bench.store.set_value(&bench.workspace, &two, "k", json!(2)).await.unwrap();
    assert_eq!(bench.store.get_value(&bench.workspace, &one, "k").await.unwrap(), Some(json!(1)));

    let stranger = WorkspaceId::from_entropy([8; 16]);
    assert!(bench.store.set_value(&stranger, &one, "k", json!(3)).await.is_err());
    assert_eq!(bench.store.get_value(&stranger, &one, "k").await.unwrap(), None);
    assert_eq!(bench.store.get_value(&bench.workspace, &one, "k").await.unwrap(), Some(json!(1)));
}
