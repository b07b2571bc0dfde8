//! A file whose digest the catalogue was told wrongly.

use flame_test_kit::Scratch;
use uuid::Uuid;

use crate::uploaded::{CONTAINER, claim, clip, track, upload};
use crate::world::World;

/// The catalogue is told what digest a file has; whoever lies has others given nothing of his, and is given nothing of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_a_file_is_not_given_for_another_that_claims_its_digest() {
    let world = World::start().await;
    let scratch = Scratch::new("uploaded");
    let film = std::fs::read(clip(&scratch, "film.mp4", &[])).unwrap();
    let other = std::fs::read(clip(&scratch, "other.mp4", &["-vf", "negate"])).unwrap();
    let (honest, liar) = (upload(&world, &other, CONTAINER).await, Uuid::new_v4());
    claim(&world, liar, &other, (CONTAINER, &film)).await;
    let film = upload(&world, &film, CONTAINER).await;
    for name in ["0.ts", "1.m4s?to=6s"] {
        let mut given = Vec::new();
        for asset in [liar, film, honest] {
            let answer = world.get(&format!("{}/{name}", track(&world, asset, 'v').await)).await;
            assert_eq!(answer.status(), 200, "{name}");
            given.push(answer.bytes().await.unwrap());
        }
        assert!(given[0] == given[2] && given[1] != given[0], "{name}");
    }
    world.stop().await;
}
