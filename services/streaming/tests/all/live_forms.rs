//! Other forms of a live channel than its playlists: I-frames, clips, DASH; while it goes on, after a restart, after its end.

use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use flame_api::live::{Channel, LiveTrack, Publication};
use flame_test_kit::eventually;
use futures_util::StreamExt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::live::{
    Encoder, NOON_TICKS, PART_TICKS, PARTS, channel, octets, open, path, publish, publish_as, send, track,
};
use crate::world::{DEADLINE, World, problem};

pub async fn text(world: &World, path: &str) -> String {
    let answer = world.get(path).await;
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    text
}

/// A channel to which `count` segments were sent.
pub async fn sent(world: &World, count: u64) -> (Channel, Publication, Encoder, Vec<Vec<Bytes>>) {
    let channel = channel(world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let publication = publish(world, channel.key.as_deref().unwrap(), encoder.init()).await;
    let mut segments = Vec::new();
    for number in 0..count {
        segments.push(encoder.segment());
        send(world, &publication, number, segments.last().unwrap()).await;
    }
    (channel, publication, encoder, segments)
}

pub async fn end(world: &World, channel: &Channel) {
    let answer = world.ask(Method::POST, &format!("channels/{}/end", channel.id), &[]).await;
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    eventually(DEADLINE, || async {
        // Until everybody knows the recording, the channel itself answers.
        let mpd = text(world, &format!("{}/manifest.mpd", channel.id)).await;
        if mpd.contains("type=\"static\"") { Ok(()) } else { Err(mpd) }
    })
    .await;
}

/// The samples that a segment holds.
fn data(segment: &[u8]) -> Vec<u8> {
    let at = segment.windows(4).position(|kind| kind == b"mdat").expect("it has an mdat");
    segment[at + 4..].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn iframes_keep_their_numbers_while_the_window_moves_and_in_the_recording() {
    let mut world = World::start().await;
    let (channel, _, _, segments) = sent(&world, 20).await;
    let multivariant = text(&world, &format!("{}/index.m3u8", channel.id)).await;
    let uri = format!("URI=\"{}/v/iframes.m3u8\"", channel.version);
    assert!(multivariant.contains("#EXT-X-I-FRAME-STREAM-INF:") && multivariant.contains(&uri), "{multivariant}");
    // The window holds 30 s; five segments have left it, with four pictures each.
    let live = eventually(DEADLINE, || async {
        let live = text(&world, &path(&channel, "iframes.m3u8")).await;
        if live.contains("#EXT-X-MEDIA-SEQUENCE:20\n") { Ok(live) } else { Err(live) }
    })
    .await;
    assert!(live.contains("#EXT-X-I-FRAMES-ONLY\n") && !live.contains("ENDLIST"), "{live}");
    assert!(live.contains("#EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:10.000Z\n#EXTINF:0.5,\ni20.m4s\n"), "{live}");
    assert!(live.ends_with("i79.m4s\n"), "{live}");
    let picture = octets(&world, &channel, "i41.m4s").await;
    assert_eq!(data(&picture), data(&segments[10][1]));
    assert_eq!(world.get(&path(&channel, "i19.m4s")).await.status(), 404);
    assert_eq!(world.get(&path(&channel, "i80.m4s")).await.status(), 404);

    world.restart_streaming().await;
    assert_eq!(text(&world, &path(&channel, "iframes.m3u8")).await, live);
    assert_eq!(octets(&world, &channel, "i41.m4s").await, picture);
    end(&world, &channel).await;
    let recorded = text(&world, &path(&channel, "iframes.m3u8")).await;
    assert_eq!(recorded.matches("#EXTINF:0.5,\n").count(), 80, "{recorded}");
    assert!(recorded.ends_with("i79.m4s\n#EXT-X-ENDLIST\n"), "{recorded}");
    assert_eq!(octets(&world, &channel, "i41.m4s").await, picture);
    assert_eq!(data(&octets(&world, &channel, "i0.m4s").await), data(&segments[0][0]));
    let multivariant = text(&world, &format!("{}/index.m3u8", channel.id)).await;
    assert!(multivariant.contains(&uri), "{multivariant}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_can_be_had_while_the_channel_goes_on_and_is_the_same_in_the_recording() {
    let world = World::start().await;
    let (channel, _, _, segments) = sent(&world, 6).await;
    let wall = "from=2026-11-26T12:00:03Z&to=2026-11-26T12:00:07.4Z";
    let since = "from=3s&to=7.4s";
    let canonical = "from=20261126T120003.000Z&to=20261126T120007.400Z";
    let live = text(&world, &path(&channel, &format!("index.m3u8?{wall}"))).await;
    let golden = "#EXTM3U\n\
                  #EXT-X-VERSION:9\n\
                  #EXT-X-TARGETDURATION:2\n\
                  #EXT-X-PLAYLIST-TYPE:VOD\n\
                  #EXT-X-MEDIA-SEQUENCE:1\n\
                  #EXT-X-INDEPENDENT-SEGMENTS\n\
                  #EXT-X-START:TIME-OFFSET=1.0,PRECISE=YES\n\
                  #EXT-X-MAP:URI=\"init.mp4\"\n\
                  #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:02.000Z\n\
                  #EXTINF:2.0,\n\
                  1.m4s\n\
                  #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:04.000Z\n\
                  #EXTINF:2.0,\n\
                  2.m4s\n\
                  #EXT-X-PROGRAM-DATE-TIME:2026-11-26T12:00:06.000Z\n\
                  #EXTINF:1.4,\n\
                  3.m4s?to=20261126T120007.400Z\n\
                  #EXT-X-ENDLIST\n";
    assert_eq!(live, golden);
    let multivariant = text(&world, &format!("{}/index.m3u8?{since}", channel.id)).await;
    assert!(multivariant.contains(&format!("v/index.m3u8?{canonical}\n")), "{multivariant}");
    let last = octets(&world, &channel, "3.m4s?to=20261126T120007.400Z").await;
    let expected: Vec<u8> = segments[3][..3].iter().flat_map(|part| data(part)).collect();
    assert_eq!(data(&last), expected);
    let mpd = text(&world, &format!("{}/manifest.mpd?{since}", channel.id)).await;
    assert!(mpd.contains("type=\"static\" mediaPresentationDuration=\"PT4.4S\""), "{mpd}");
    assert!(
        mpd.contains(&format!("presentationTimeOffset=\"{}\" startNumber=\"1\"", NOON_TICKS + 3 * 90_000)),
        "{mpd}"
    );
    assert!(mpd.contains(&format!("<S t=\"{}\" d=\"180000\" r=\"2\"/>", NOON_TICKS + 2 * 90_000)), "{mpd}");

    for (query, status, slug) in [
        ("from=3s", 400, "bad-request"),
        ("from=5s&to=5s", 400, "bad-request"),
        ("from=x", 400, "bad-request"),
        ("to=2026-11-26T11:59:00Z", 400, "bad-request"),
        ("from=3s&to=20s", 404, "not-ready"),
    ] {
        for form in [path(&channel, "index.m3u8"), format!("{}/manifest.mpd", channel.id)] {
            let answer = world.get(&format!("{form}?{query}")).await;
            assert_eq!((answer.status().as_u16(), problem(answer).await.0.as_str()), (status, slug), "{form}?{query}");
        }
    }
    end(&world, &channel).await;
    assert_eq!(text(&world, &path(&channel, &format!("index.m3u8?{since}"))).await, golden);
    assert_eq!(octets(&world, &channel, "3.m4s?to=20261126T120007.400Z").await, last);
    assert_eq!(text(&world, &format!("{}/index.m3u8?{wall}", channel.id)).await, multivariant);
    assert_eq!(text(&world, &format!("{}/manifest.mpd?{wall}", channel.id)).await, mpd);
    let rest = text(&world, &path(&channel, "index.m3u8?from=9s")).await;
    assert!(rest.contains("#EXT-X-MEDIA-SEQUENCE:4\n") && rest.ends_with("5.m4s\n#EXT-X-ENDLIST\n"), "{rest}");
    assert_eq!(world.get(&path(&channel, "index.m3u8?from=1:00&to=2:00")).await.status(), 400);
    let whole = text(&world, &format!("{}/manifest.mpd", channel.id)).await;
    assert!(whole.contains("type=\"static\" mediaPresentationDuration=\"PT12S\""), "{whole}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mpd_lists_what_is_being_made_and_it_is_sent_while_it_comes() {
    let world = World::start().await;
    let (channel, publication, mut encoder, _) = sent(&world, 1).await;
    let (parts, told) = open(&world, &publication, 1);
    let first = encoder.part().unwrap();
    parts.send(first.clone()).await.unwrap();
    let manifest = format!("{}/manifest.mpd", channel.id);
    let mpd = eventually(DEADLINE, || async {
        let mpd = text(&world, &manifest).await;
        if mpd.contains("d=\"180000\" r=\"1\"/>") { Ok(mpd) } else { Err(mpd) }
    })
    .await;
    for said in [
        "type=\"dynamic\" availabilityStartTime=\"1970-01-01T00:00:00.000Z\"",
        "minimumUpdatePeriod=\"PT1S\"",
        "availabilityTimeOffset=\"1.5\" availabilityTimeComplete=\"false\"",
        "<UTCTiming schemeIdUri=\"urn:mpeg:dash:utc:http-iso:2014\" value=\"clock\"/>",
    ] {
        assert!(mpd.contains(said), "{said}: {mpd}");
    }
    let answer = world.get(&path(&channel, "1.m4s")).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.content_length().is_none());
    let mut body = answer.bytes_stream();
    let mut sent = vec![first];
    for at in 0..PARTS {
        let mut came = Vec::new();
        while came.len() < sent[at].len() {
            let piece =
                tokio::time::timeout(DEADLINE, body.next()).await.expect("it comes before the next one is made");
            came.extend_from_slice(&piece.unwrap().unwrap());
        }
        assert_eq!(came, sent[at]);
        if at + 1 < PARTS {
            sent.push(encoder.part().unwrap());
            parts.send(sent[at + 1].clone()).await.unwrap();
        }
    }
    drop(parts);
    assert_eq!(told.await.unwrap(), 204);
    assert!(tokio::time::timeout(DEADLINE, body.next()).await.unwrap().is_none(), "it is whole");
    assert_eq!(octets(&world, &channel, "1.m4s").await, sent.concat());

    // Whose encoder dies in the middle gets what there is, and no more.
    let (parts, _told) = open(&world, &publication, 2);
    parts.send(encoder.part().unwrap()).await.unwrap();
    eventually(DEADLINE, || async {
        let mpd = text(&world, &manifest).await;
        if mpd.contains("d=\"180000\" r=\"2\"/>") { Ok(()) } else { Err(mpd) }
    })
    .await;
    let answer = world.get(&path(&channel, "2.m4s")).await;
    let unpublished = world.ask(Method::DELETE, &format!("publications/{}", publication.id), &[]).await;
    assert_eq!(unpublished.status(), 204);
    let came = tokio::time::timeout(DEADLINE, answer.bytes()).await.unwrap().unwrap();
    assert_eq!(octets(&world, &channel, "2.m4s").await, came);
    drop(parts);

    let clock = world.get("clock").await;
    assert_eq!(clock.headers()["cache-control"], "no-store");
    let said = OffsetDateTime::parse(&clock.text().await.unwrap(), &Rfc3339).unwrap();
    assert!((OffsetDateTime::now_utc() - said).abs() < Duration::from_secs(5));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn playlists_say_how_bright_pictures_get_after_a_restart_and_in_the_recording() {
    let mut world = World::start().await;
    let channel = channel(&world).await;
    let name = format!("{}/index.m3u8", channel.id);
    // An encoder that says nothing, one of BT.2020 with PQ, one with HLG: the newest counts.
    for (number, (transfer, range)) in (0..).zip([(None, None), (Some(16), Some("PQ")), (Some(18), Some("HLG"))]) {
        let begin = NOON_TICKS + number * (PARTS as i64) * PART_TICKS;
        let mut encoder =
            transfer.map_or_else(|| Encoder::new(1280, begin), |transfer| Encoder::bright(transfer, begin));
        let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
        send(&world, &publication, publication.first_number, &encoder.segment()).await;
        let text = text(&world, &name).await;
        let said = range.map(|range| format!("VIDEO-RANGE={range}"));
        assert_eq!(text.matches("VIDEO-RANGE=").count(), said.as_ref().map_or(0, |_| 2), "{text}");
        assert!(said.is_none_or(|said| text.matches(&said).count() == 2), "{text}");
    }
    world.restart_streaming().await;
    assert_eq!(text(&world, &name).await.matches("VIDEO-RANGE=HLG").count(), 2);
    end(&world, &channel).await;
    eventually(DEADLINE, || async {
        let text = text(&world, &name).await;
        let is_recorded = world.get(&format!("channels/{}", channel.id)).await.text().await.unwrap().contains("ended");
        if is_recorded && text.matches("VIDEO-RANGE=HLG").count() == 2 { Ok(()) } else { Err(text) }
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn periods_keep_their_names_when_what_began_them_is_gone() {
    let mut world = World::start().await;
    let (channel, _, encoder, _) = sent(&world, 2).await;
    let manifest = format!("{}/manifest.mpd", channel.id);
    // The encoder comes back a minute later.
    let from_ticks = NOON_TICKS + 120 * PART_TICKS;
    drop(encoder);
    let mut encoder = Encoder::new(640, from_ticks);
    let publication = publish(&world, channel.key.as_deref().unwrap(), encoder.init()).await;
    let period = "<Period id=\"p1795694460000\" start=\"PT1795694460S\">";
    for number in 2..20 {
        send(&world, &publication, number, &encoder.segment()).await;
    }
    let before = eventually(DEADLINE, || async {
        let mpd = text(&world, &manifest).await;
        if mpd.contains("startNumber=\"5\"") && !mpd.contains("id=\"p0\"") { Ok(mpd) } else { Err(mpd) }
    })
    .await;
    assert!(before.contains(period) && before.contains("/v/init-1.mp4\""), "{before}");
    world.restart_streaming().await;
    assert_eq!(text(&world, &manifest).await, before);
    end(&world, &channel).await;
    let recorded = text(&world, &manifest).await;
    assert!(recorded.contains("<Period id=\"p0\" start=\"PT0S\" duration=\"PT60S\">"), "{recorded}");
    assert!(recorded.contains("<Period id=\"p1795694460000\" start=\"PT60S\" duration=\"PT36S\">"), "{recorded}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_of_what_no_transport_stream_carries_has_none() {
    let world = World::start().await;
    let channel = channel(&world).await;
    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let track = LiveTrack { codec: "av01.0.05M.08".to_owned(), ..track("v") };
    let publication = publish_as(&world, channel.key.as_deref().unwrap(), encoder.init(), (track, false)).await;
    send(&world, &publication, 0, &encoder.segment()).await;
    assert_eq!(world.get(&format!("{}/index.m3u8", channel.id)).await.status(), 200);
    let answer = world.get(&format!("{}/ts.m3u8", channel.id)).await;
    assert_eq!((answer.status().as_u16(), problem(answer).await.0), (404, "not-found".to_owned()));
    world.stop().await;
}
