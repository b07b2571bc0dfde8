//! Keys and requests that mean harm.

use aws_sdk_s3::error::ProvideErrorMetadata;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::consistency::files_below;
use crate::world::{BUCKET, World};

#[tokio::test(flavor = "multi_thread")]
async fn no_key_leaves_the_folder() {
    let world = World::start().await;
    let outside = world.dir.path().join("outside");
    std::fs::write(&outside, "untouched").unwrap();
    let absolute = outside.to_str().unwrap().to_owned();
    let deep = "d/".repeat(500);
    let keys = [
        "..",
        ".",
        "../outside",
        "../../../../outside",
        "a/../../outside",
        absolute.as_str(),
        "%2e%2e/outside",
        "..%2foutside",
        "..\\outside",
        "a=o",
        "a=d/b",
        "upload.json",
        "//",
        deep.as_str(),
        &"é".repeat(512),
        &"/".repeat(1024),
        "\u{202e}gpj.exe",
        "<&>\"'",
    ];
    for key in keys {
        world.store.put(key, Bytes::from(key.to_owned()), "a/b").await.unwrap_or_else(|e| panic!("{key:?}: {e:?}"));
    }
    for key in keys {
        assert_eq!(world.store.get(key, 2000).await.unwrap(), key.as_bytes(), "{key:?}");
    }
    let mut sorted: Vec<&str> = keys.to_vec();
    sorted.sort_unstable();
    let listed: Vec<String> =
        world.store.list("", None).await.unwrap().objects.into_iter().map(|object| object.key).collect();
    assert_eq!(listed, sorted);
    let root = world.root();
    let around: Vec<_> = files_below(world.dir.path()).into_iter().filter(|path| !path.starts_with(&root)).collect();
    assert_eq!(around, std::slice::from_ref(&outside));
    assert_eq!(std::fs::read_to_string(outside).unwrap(), "untouched");
    world.store.delete_prefix("").await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_kept_are_refused() {
    let world = World::start().await;
    let sdk = world.sdk();
    for (key, code) in [
        ("a\0b".to_owned(), "InvalidArgument"),
        ("line\nbreak".to_owned(), "InvalidArgument"),
        ("\u{7f}".to_owned(), "InvalidArgument"),
        ("k".repeat(1025), "KeyTooLongError"),
    ] {
        let put = sdk.put_object().bucket(BUCKET).key(&key).send().await.unwrap_err();
        assert_eq!(put.code(), Some(code), "{key:?}");
        let create = sdk.create_multipart_upload().bucket(BUCKET).key(&key).send().await.unwrap_err();
        assert_eq!(create.code(), Some(code), "{key:?}");
    }
    for upload in ["..", "../../objects", "x", "00000000-0000-4000-8000-000000000000"] {
        let abort = sdk.abort_multipart_upload().bucket(BUCKET).key("k").upload_id(upload).send().await.unwrap_err();
        assert_eq!(abort.code(), Some("NoSuchUpload"), "{upload}");
    }
    let token = sdk.list_objects_v2().bucket(BUCKET).continuation_token("../..").send().await.unwrap_err();
    assert_eq!(token.code(), Some("InvalidArgument"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_socket_harms_nobody() {
    let world = World::start().await;
    for request in [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET /flame/%zz HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /flame/../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
        "PUT /flame/k HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "PUT /flame/k HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "POST /flame?delete HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n<<<",
    ] {
        let mut socket = tokio::net::TcpStream::connect(world.server.address()).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is an answer too.
        let _ = socket.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{request:?}: {}", String::from_utf8_lossy(&answer));
    }
    world.store.put("k", Bytes::from_static(b"fine"), "a/b").await.unwrap();
    assert_eq!(world.store.get("k", 9).await.unwrap(), "fine");
    world.stop().await;
}
