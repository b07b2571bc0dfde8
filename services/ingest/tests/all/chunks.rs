//! However an upload is cut into requests, broken off and restarted, the bytes come out as they went in.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::world::{PART, World, noise, without_media};

/// Lengths around everything that has a boundary.
const LENGTHS: [usize; 8] = [1, 4096, PART - 1, PART, PART + 1, 2 * PART, 2 * PART + 1, 3 * PART - 1];

/// A piece: mostly small or around a part's size, so that tails below and above 5 MiB come up.
fn piece(random: &mut StdRng, left: usize) -> usize {
    let wanted = match random.random_range(0..4) {
        0 => random.random_range(0..100),
        1 => random.random_range(0..PART / 3),
        2 => random.random_range(PART - 3..PART + 3),
        _ => random.random_range(PART..3 * PART),
    };
    wanted.min(left)
}

#[tokio::test]
async fn any_cutting_gives_the_same_bytes() {
    let mut world = World::start_with(without_media).await;
    for (seed, length) in (0..).zip(LENGTHS) {
        let mut random = StdRng::seed_from_u64(seed);
        let body = noise(seed, length);
        let tus = world.announce(length).await;
        let mut offset = 0;
        let mut story = Vec::new();
        while offset < length {
            let end = offset + piece(&mut random, length - offset);
            story.push(end);
            match random.random_range(0..5) {
                0 => {
                    // The connection breaks: anything up to `end` may have been kept, nothing of the acknowledged is lost.
                    drop(tus.begin(offset, length - offset, &body[offset..end]).await);
                    let now = tus.offset().await;
                    assert!((offset..=end).contains(&now), "seed {seed}, {story:?}: {now}");
                    offset = now;
                }
                1 => {
                    offset = tus.insist(&body, offset, end).await;
                    world.restart().await;
                    assert_eq!(tus.offset().await, offset, "seed {seed}, {story:?}");
                }
                _ => offset = tus.insist(&body, offset, end).await,
            }
        }
        world.check_stored(tus.id, &body).await;
    }
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_body_keeps_what_came() {
    let mut world = World::start_with(without_media).await;
    let body = noise(99, 2 * PART);
    let tus = world.announce(body.len()).await;
    let stream = tus.begin(0, body.len(), &body[..PART + 4000]).await;
    world.part_on_its_way().await;
    world.stop().await;
    drop(stream);
    world.resume().await;
    let offset = tus.offset().await;
    assert!((PART..=PART + 4000).contains(&offset), "{offset}");
    tus.send(offset, &body[offset..]).await;
    world.check_stored(tus.id, &body).await;
}
