//! Two encoders, and a ladder: who has the channel has the ladder.

use flame_api::live::{Channel, LadderState};
use flame_test_kit::eventually;

use crate::ladder::{Climb, children};
use crate::world::PATIENCE;

/// Waits until the ladder is made by one process, and not by `before`.
async fn made_by_another(before: Option<u32>) -> u32 {
    eventually(PATIENCE, || async {
        match children()[..] {
            [one] if Some(one) != before => Ok(one),
            ref all => Err(format!("{all:?}")),
        }
    })
    .await
}

async fn goes_on(climb: &Climb, channel: &Channel) {
    let at = climb.last(channel, "v").await;
    climb.past(channel, "v144", at + 1).await;
    climb.stands(channel, LadderState::Running).await;
}

async fn refused(climb: &Climb) -> bool {
    climb.transcode_metrics().await.lines().any(|line| line.starts_with("flame_live_ladders_refused_total{"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stands_by_has_no_ladder_before_it_has_the_channel() {
    // One that stood by with a ladder would be refused, and counted.
    let climb = Climb::start(1).await;
    let channel = climb.channel(&[144]).await;
    let key = channel.key.clone().unwrap();
    let first = climb.publish(&channel);
    climb.offered(&channel, 2).await;
    let of_first = made_by_another(None).await;
    let standby = Channel { key: Some(format!("{key}?standby")), ..channel.clone() };
    let _second = climb.publish(&standby);
    eventually(PATIENCE, || async {
        let metrics = climb.stage.metrics().await;
        let open = metrics.lines().find(|line| line.starts_with("flame_live_publications_open"));
        if open.is_some_and(|line| line.ends_with(" 2")) { Ok(()) } else { Err(format!("{open:?}")) }
    })
    .await;
    goes_on(&climb, &channel).await;
    assert_eq!(children(), [of_first]);
    assert!(!refused(&climb).await);

    // It takes over, and gets one.
    drop(first);
    let of_second = made_by_another(Some(of_first)).await;
    goes_on(&climb, &channel).await;
    climb.offered(&channel, 2).await;

    // The first one is back: the ladder is its own again, as soon as the other one's place is free.
    let _first = climb.publish(&channel);
    made_by_another(Some(of_second)).await;
    goes_on(&climb, &channel).await;
}
