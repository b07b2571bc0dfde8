//! `GET /{asset}/poster.jpg`.

use axum::http::Method;

use crate::world::{World, problem};

#[tokio::test]
async fn is_the_stored_picture() {
    let world = World::start().await;
    let picture: Vec<u8> = (0..50_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let asset = world.register(Some(&picture)).await;
    let path = format!("{asset}/poster.jpg");
    let answer = world.get(&path).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    assert_eq!(answer.headers()["cache-control"], "public, max-age=60");
    let etag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert!(answer.bytes().await.unwrap() == picture);
    assert_eq!(world.ask(Method::GET, &path, &[("if-none-match", &etag)]).await.status(), 304);
    let part = world.ask(Method::GET, &path, &[("range", "bytes=1000-1999")]).await;
    assert_eq!(part.status(), 206);
    assert!(part.bytes().await.unwrap() == picture[1000..2000]);

    let bare = world.register(None).await;
    for asset in [bare, uuid::Uuid::new_v4()] {
        assert_eq!(problem(world.get(&format!("{asset}/poster.jpg")).await).await.0, "not-found");
    }
    world.stop().await;
}
