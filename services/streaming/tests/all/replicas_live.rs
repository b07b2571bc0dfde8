//! What is live, and what was, where each site has a store of its own: it plays from the site of its channel, and keys are made there and
//! nowhere else.

use bytes::Bytes;
use flame_api::live::{Channel, NewChannel, NewPublication, Publication};
use flame_api::metadata::{AssetPatch, Encryption};
use flame_test_kit::eventually;
use uuid::Uuid;

use crate::encrypted::{opened, quoted};
use crate::live::{Encoder, NOON_TICKS, track};
use crate::replicas::{PATIENCE, Sites, keys};
use crate::world::{VERSION, stored};

/// Segments that are sent.
const SEGMENTS: u64 = 3;

/// A channel at the first site, and what was sent to it.
async fn sent(sites: &Sites, encryption: Option<Encryption>) -> (Channel, Vec<Vec<u8>>) {
    let new = NewChannel {
        id: Uuid::new_v4(),
        title: "News".to_owned(),
        segment_ms: 2000,
        part_ms: 500,
        window_s: 30,
        keep_s: None,
        source: None,
        ladder: None,
        encryption,
    };
    let answer = sites.http.post(sites.cloud.url("channels")).json(&new).send().await.unwrap();
    let (status, said) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 201, "{said}");
    let channel: Channel = serde_json::from_str(&said).unwrap();

    let mut encoder = Encoder::new(1280, NOON_TICKS);
    let key = channel.key.clone().expect("it is said once");
    let new = NewPublication { key, tracks: vec![track("v")], standby: false };
    let answer = sites.http.post(sites.cloud.url("publications")).json(&new).send().await.unwrap();
    assert_eq!(answer.status(), 201, "{:?}", answer.text().await);
    let publication: Publication = answer.json().await.unwrap();
    let put = async |name: String, body: Bytes| {
        let url = sites.cloud.url(&format!("publications/{}/v/{name}", publication.id));
        let answer = sites.http.put(url).body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {:?}", answer.text().await);
    };
    put("init.mp4".to_owned(), encoder.init()).await;
    let mut segments = Vec::new();
    for number in 0..SEGMENTS {
        let segment = encoder.segment().concat();
        put(format!("{number}.m4s"), segment.clone().into()).await;
        segments.push(segment);
    }
    (channel, segments)
}

/// Ends a channel, and waits until the catalogue has its recording.
async fn end(sites: &Sites, channel: &Channel) {
    let url = sites.cloud.url(&format!("channels/{}/end", channel.id));
    let answer = sites.http.post(url).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
    eventually(PATIENCE, || async {
        let asset = sites.catalogue.asset(channel.id).await.map_err(|error| error.to_string())?;
        match asset {
            Some(asset) if asset.version.is_some() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// A text that a site gives as soon as it says so.
async fn text(sites: &Sites, url: &str, says: &str) -> String {
    eventually(PATIENCE, || async {
        let answer = sites.http.get(url).send().await.map_err(|error| error.to_string())?;
        let (status, text) = (answer.status(), answer.text().await.map_err(|error| error.to_string())?);
        if status == 200 && text.contains(says) { Ok(text) } else { Err(format!("{status} {text}")) }
    })
    .await
}

async fn octets(sites: &Sites, url: &str) -> Bytes {
    let answer = sites.http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    answer.bytes().await.unwrap()
}

/// All that was sent opens with the key that playlists name, which is kept at the first site and at no other.
async fn opens(sites: &Sites, channel: &Channel, segments: &[Vec<u8>]) {
    let at = |path: &str| sites.cloud.url(&format!("{}/{path}", channel.id));
    let playlist = text(sites, &at("index.m3u8"), &format!("{}-", channel.version)).await;
    let folder = playlist.lines().find_map(|line| line.strip_suffix("/v/index.m3u8")).expect("it has a variant");
    let listed = text(sites, &at(&format!("{folder}/v/index.m3u8")), "#EXT-X-KEY:METHOD=AES-128").await;
    let key = quoted(&listed, "#EXT-X-KEY:METHOD=AES-128,URI").trim_start_matches("../../");
    let secret = octets(sites, &at(key)).await;
    assert_eq!(secret.len(), 16);
    for (number, segment) in (0_u64..).zip(segments) {
        let sealed = octets(sites, &at(&format!("{folder}/v/{number}.m4s"))).await;
        assert!(opened(&secret, number, &sealed) == *segment, "segment {number} is not what was sent");
    }
    let stored = format!("default/media/{}/key.json", channel.id);
    assert!(sites.cloud.object(&stored).await.is_some(), "no key was made at home");
    assert_eq!(sites.edge.object(&stored).await, None, "a second key was made");
}

/// Streaming of the other site says that it is not its, makes no key, and its router finds it.
async fn is_found_from_the_edge(sites: &Sites, channel: &Channel) {
    let url = sites.edge.url(&format!("{}/index.m3u8", channel.id));
    eventually(PATIENCE, || async {
        let status = sites.http.get(&url).send().await.map_err(|error| error.to_string())?.status();
        if status == 421 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    let by_router = format!("http://{}/~streaming/{}/index.m3u8", sites.edge.router.address(), channel.id);
    text(sites, &by_router, &format!("{}-", channel.version)).await;
    assert_eq!(sites.edge.object(&format!("default/media/{}/key.json", channel.id)).await, None);
}

/// What remains is what is stored, and nothing in memory.
async fn restart(sites: &mut Sites) {
    sites.cloud.streaming.take().unwrap().stop().await;
    sites.cloud.stream().await;
    sites.know("store.main", 2).await;
    sites.know("streaming.main", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_channel_is_made_and_plays_where_each_site_has_a_store() {
    let mut sites = Sites::streaming().await;
    let (channel, segments) = sent(&sites, Some(Encryption::Aes128)).await;
    opens(&sites, &channel, &segments).await;
    end(&sites, &channel).await;
    restart(&mut sites).await;
    opens(&sites, &channel, &segments).await;
    is_found_from_the_edge(&sites, &channel).await;
    sites.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_encrypted_afterwards_plays_from_its_site_though_a_copy_lies_beside_it() {
    let mut sites = Sites::streaming().await;
    let (channel, segments) = sent(&sites, None).await;
    end(&sites, &channel).await;
    restart(&mut sites).await;
    // As a subtitle of another site leaves it.
    let mark = format!(".replicas/default/{}", channel.id);
    sites.cloud.store.put(&mark, "{}".into(), "application/json").await.unwrap();
    let revision = sites.catalogue.asset(channel.id).await.unwrap().unwrap().revision;
    let patch = AssetPatch { encryption: Some(Some(Encryption::Aes128)), ..AssetPatch::default() };
    sites.catalogue.patch_asset(channel.id, revision, &patch).await.unwrap();
    opens(&sites, &channel, &segments).await;
    is_found_from_the_edge(&sites, &channel).await;
    sites.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_version_of_what_was_live_is_encrypted_where_it_is_stored_and_its_copies_go_with_it() {
    let mut sites = Sites::streaming().await;
    let (channel, _) = sent(&sites, None).await;
    end(&sites, &channel).await;
    restart(&mut sites).await;
    let (id, encoded) = (channel.id, stored("v", &[4_000]));
    sites.publish_at(&sites.edge, id, &encoded).await;
    // Where the channel was, it is copied, and known as a copy.
    text(&sites, &sites.cloud.url(&format!("{id}/index.m3u8")), &format!("{VERSION}/v/index.m3u8")).await;
    octets(&sites, &sites.cloud.url(&format!("{id}/{VERSION}/v/0.m4s"))).await;
    sites.cloud.keeps(&keys(id)[1], &encoded.object).await;
    let mark = format!(".replicas/default/{id}");
    assert!(sites.cloud.object(&mark).await.is_some(), "nobody knows that there is a copy");
    assert_eq!(sites.edge.object(&mark).await, None);

    let revision = sites.catalogue.asset(id).await.unwrap().unwrap().revision;
    let patch = AssetPatch { encryption: Some(Some(Encryption::SampleAes)), ..AssetPatch::default() };
    sites.catalogue.patch_asset(id, revision, &patch).await.unwrap();
    // Where it was live a key is made no more than at any other site that has copies.
    eventually(PATIENCE, || async {
        let answer = sites.http.get(sites.cloud.url(&format!("{id}/index.m3u8"))).send().await;
        let status = answer.map_err(|error| error.to_string())?.status();
        if status == 421 { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
    text(&sites, &sites.edge.url(&format!("{id}/index.m3u8")), &format!("{VERSION}-")).await;
    let key = format!("default/media/{id}/key.json");
    assert!(sites.edge.object(&key).await.is_some(), "no key was made at home");
    assert_eq!(sites.cloud.object(&key).await, None, "a second key was made");

    assert!(sites.catalogue.erase_asset(id).await.unwrap());
    eventually(PATIENCE, || async {
        match sites.cloud.object(&keys(id)[1]).await {
            None => Ok(()),
            Some(_) => Err("there is a copy of an asset that is gone".to_owned()),
        }
    })
    .await;
    sites.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_no_longer_the_version_goes_on_and_what_nobody_has_is_not_looked_for() {
    let mut sites = Sites::streaming().await;
    let (channel, segments) = sent(&sites, None).await;
    end(&sites, &channel).await;
    restart(&mut sites).await;
    let encoded = stored("v", &[4_000]);
    sites.publish(channel.id, &encoded).await;
    let at = |path: &str| sites.cloud.url(&format!("{}/{path}", channel.id));
    text(&sites, &at("index.m3u8"), &format!("{VERSION}/v/index.m3u8")).await;
    for (number, segment) in segments.iter().enumerate() {
        let octets = octets(&sites, &at(&format!("{}/v/{number}.m4s", channel.version))).await;
        assert!(octets == *segment, "segment {number} is not what was sent");
    }
    let status = async |path: String| sites.http.get(at(&path)).send().await.unwrap().status().as_u16();
    // That the version has no such track, the catalogue has said; of another one nobody has said that it is nowhere.
    assert_eq!(status(format!("{VERSION}/invented/0.m4s")).await, 404);
    assert_eq!(status("ffffffffffff/v/0.m4s".to_owned()).await, 503);
    sites.stop().await;
}
