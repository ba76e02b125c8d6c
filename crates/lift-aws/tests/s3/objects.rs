//! In: objects that are copied. Out: whether a name that is taken stays as it was.

use bytes::Bytes;
use lift_aws::s3::Bucket;
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _};

use crate::moto::{self, BUCKET};

#[tokio::test]
async fn an_object_is_copied_to_a_name_unless_there_is_one() {
    let Some(s3) = moto::start().await else {
        return;
    };
    let bucket = Bucket::new(&moto::aws("us-east-1"), BUCKET, Some(&s3.endpoint)).unwrap();
    let store = bucket.store();
    let [from, other, to] = [
        "work/r1/output-1",
        "work/r2/output-1",
        "objects/acme/a+b.csv",
    ]
    .map(|at| Path::parse(at).unwrap());
    let large = Bytes::from(vec![b'x'; 9 << 20]);
    store.put(&from, large.clone().into()).await.unwrap();
    store.put(&other, "another's".into()).await.unwrap();

    store.copy_if_not_exists(&from, &to).await.unwrap();
    let again = store.copy_if_not_exists(&other, &to).await;
    assert!(
        matches!(again, Err(Error::AlreadyExists { .. })),
        "{again:?}"
    );
    let there = store.get(&to).await.unwrap().bytes().await.unwrap();
    assert!(there == large, "{} bytes", there.len());
}
