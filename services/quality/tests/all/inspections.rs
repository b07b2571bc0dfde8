//! `/inspections`: what is found without a reference.

use flame_api::quality::jobs::{JobState, MediaName};
use flame_test_kit::clips::{self, recipe};

use crate::world::{World, inspection_of};

#[tokio::test]
async fn an_upload_is_inspected_and_what_it_lacks_passes_no_gate() {
    let world = World::start().await;
    let loud = world.asset(&world.client, "default", &clips::path("bigbuckbunny"), None).await;
    let gates = ["loudness.integrated >= -40", "black.count <= 0", "video.decode_errors <= 0"];
    let new = inspection_of(MediaName::Source(loud), &gates);
    world.client.create_inspection(&new).await.unwrap();
    let ended = world.ended_inspection(new.id).await;
    assert_eq!((ended.standing.state, ended.standing.passed), (JobState::Succeeded, Some(true)), "{ended:?}");
    let result = ended.result.expect("it was measured");
    assert_eq!(result.input, new.media.to_string());
    assert!(result.audio.is_some_and(|audio| audio.channels == 6) && result.not_measured.is_empty());

    let mute = world.asset(&world.client, "default", &recipe("no-audio").seconds(1.0).make(), None).await;
    let new = inspection_of(MediaName::Source(mute), &["silence.count <= 0"]);
    world.client.create_inspection(&new).await.unwrap();
    let standing = world.ended_inspection(new.id).await.standing;
    assert_eq!((standing.state, standing.passed), (JobState::Succeeded, Some(false)));
    assert!(standing.gates[0].measured.is_none(), "{standing:?}");
    assert!(standing.gates[0].why.as_ref().is_some_and(|why| why.contains("no sound")), "{standing:?}");

    let wrong = inspection_of(MediaName::Source(mute), &["psnr.mean >= 3"]);
    assert_eq!(world.client.create_inspection(&wrong).await.unwrap_err().status(), Some(422));
}
