//! Marks of a channel: in every playlist while they are in the window, after a restart, in the recording.

use axum::http::Method;
use flame_api::live::{Mark, NewMark};
use flame_test_kit::eventually;
use time::OffsetDateTime;

use crate::live::{path, playlist, send};
use crate::live_forms::{end, sent, text};
use crate::world::{DEADLINE, World};

/// 2026-11-26T12:00:00Z and so many seconds.
fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_795_694_400 + second).unwrap()
}

async fn put(world: &World, path: &str, new: &NewMark) -> reqwest::Response {
    world.http.put(world.url(path)).json(new).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_are_in_all_playlists_after_a_restart_and_in_the_recording() {
    let mut world = World::start_with(|config| config.live.marks_max = 3).await;
    let (channel, publication, mut encoder, _) = sent(&world, 3).await;
    let marks = format!("channels/{}/marks", channel.id);
    let ad = NewMark {
        class: Some("ad".to_owned()),
        start: Some(at(1)),
        scte35_out: Some("0xFC302F".to_owned()),
        attributes: [("X-TITLE".to_owned(), flame_api::live::MarkValue::Text("Soap".to_owned()))].into(),
        ..NewMark::default()
    };
    let made: Mark = put(&world, &format!("{marks}/ad-1"), &ad).await.json().await.unwrap();
    assert_eq!((made.id.as_str(), made.start, made.duration_ms), ("ad-1", at(1), None));
    let open = "#EXT-X-DATERANGE:ID=\"ad-1\",CLASS=\"ad\",START-DATE=\"2026-11-26T12:00:01.000Z\",SCTE35-OUT=0xFC302F,X-TITLE=\"Soap\"\n";
    assert!(playlist(&world, &channel, "").await.contains(open));
    let end_of_it = NewMark { end: Some(at(4)), ..NewMark::default() };
    assert_eq!(put(&world, &format!("{marks}/ad-1"), &end_of_it).await.status(), 200);
    let closed = open.replace(",SCTE35-OUT", ",DURATION=3.0,SCTE35-OUT");
    assert!(playlist(&world, &channel, "").await.contains(&closed));
    assert!(playlist(&world, &channel, "?_HLS_skip=YES").await.contains(&closed));
    let mpd = text(&world, &format!("{}/manifest.mpd", channel.id)).await;
    assert!(mpd.contains("<EventStream schemeIdUri=\"urn:scte:scte35:2014:xml+bin\" timescale=\"1000\">"), "{mpd}");
    assert!(mpd.contains("presentationTime=\"1795694401000\" duration=\"3000\"") && mpd.contains(">/DAv<"), "{mpd}");

    // Another one of its class that begins before its end; one that contradicts itself; one without a name.
    let overlapping = NewMark { class: Some("ad".to_owned()), start: Some(at(2)), ..NewMark::default() };
    for (name, new) in [("ad-2", &overlapping), ("ad-1", &overlapping), ("a%20b", &ad)] {
        let answer = put(&world, &format!("{marks}/{name}"), new).await;
        assert_eq!(answer.status(), 422, "{name}: {:?}", answer.text().await);
    }
    assert_eq!(put(&world, &format!("channels/{}/marks/x", uuid::Uuid::new_v4()), &ad).await.status(), 404);
    let chapter = NewMark {
        class: Some("chapter".to_owned()),
        start: Some(at(36)),
        ends_on_next: Some(true),
        ..NewMark::default()
    };
    assert_eq!(put(&world, &format!("{marks}/chapter"), &chapter).await.status(), 200);
    assert_eq!(put(&world, &format!("{marks}/now"), &NewMark::default()).await.status(), 200);
    assert_eq!(put(&world, &format!("{marks}/more"), &NewMark::default()).await.status(), 422, "there are three");

    world.restart_streaming().await;
    let listed = text(&world, &marks).await;
    assert!(listed.contains("\"ad-1\"") && listed.contains("\"chapter\"") && listed.contains("\"now\""), "{listed}");
    assert!(playlist(&world, &channel, "").await.contains(&closed));
    // The window of 30 s goes on, and leaves it behind.
    let again = crate::live::publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    assert_ne!(again.id, publication.id);
    for number in 3..20 {
        send(&world, &again, number, &encoder.segment()).await;
    }
    eventually(DEADLINE, || async {
        let text = playlist(&world, &channel, "").await;
        let is_gone = !text.contains("ID=\"ad-1\"") && text.contains("ID=\"chapter\"");
        if is_gone { Ok(()) } else { Err(text) }
    })
    .await;
    end(&world, &channel).await;
    let recorded = playlist(&world, &channel, "").await;
    assert!(
        recorded.contains(&closed) && recorded.contains("ID=\"chapter\"") && recorded.contains("END-ON-NEXT=YES"),
        "{recorded}"
    );
    let clip = text(&world, &path(&channel, "index.m3u8?from=3s&to=7s")).await;
    assert!(clip.contains(&closed) && !clip.contains("chapter"), "{clip}");
    let mpd = text(&world, &format!("{}/manifest.mpd", channel.id)).await;
    assert!(mpd.contains(">/DAv<"), "{mpd}");
    let answer = put(&world, &format!("{marks}/late"), &ad).await;
    assert!([403, 404].contains(&answer.status().as_u16()), "the channel has ended");
    let answer = world.ask(Method::GET, &marks, &[]).await;
    assert_eq!(answer.status(), 200);
    world.stop().await;
}
