//! Encrypted assets: under what names they go out, what opens them, and who gets the key.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use axum::http::Method;
use flame_api::metadata::{AssetPatch, Encryption};
use flame_service_host::keys::{self, Grant};
use flame_streaming::config::{EncryptionConfig, SurrogatesConfig, ViewersConfig};
use flame_test_kit::{Scratch, eventually};
use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::world::{DEADLINE, Stored, VERSION, World, problem};

/// A world in which settings count at once, with this secret for keys.
async fn world(folder: &Path, secret: Option<&[u8]>) -> World {
    let (viewers, surrogates) = (folder.join("viewers"), folder.join("surrogates"));
    keys::ensure(&viewers).unwrap();
    keys::ensure(&surrogates).unwrap();
    let path = folder.join("secret");
    std::fs::write(&path, secret.unwrap_or_default()).unwrap();
    World::start_with(|config| {
        let keys = viewers.join("jwks.json");
        config.viewers = Some(ViewersConfig { keys, origin: None, audience: None, remembered: 10, links: None });
        config.surrogates = Some(SurrogatesConfig { keys: surrogates });
        config.encryption = secret.map(|_| EncryptionConfig { secret: path });
        config.catalogue.media_fresh.0 = Duration::ZERO;
        config.catalogue.fresh.0 = Duration::from_millis(1);
    })
    .await
}

async fn set(world: &World, asset: Uuid, patch: AssetPatch) {
    let revision = world.catalogue.asset(asset).await.unwrap().unwrap().revision;
    world.catalogue.patch_asset(asset, revision, &patch).await.unwrap();
}

pub async fn encrypt(world: &World, asset: Uuid, encryption: Option<Encryption>) {
    set(world, asset, AssetPatch { encryption: Some(encryption), ..AssetPatch::default() }).await;
}

async fn text(world: &World, path: &str) -> String {
    let answer = world.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.unwrap()
}

/// The multivariant playlist as soon as it says so.
pub async fn multivariant(world: &World, asset: Uuid, says: &str) -> String {
    eventually(DEADLINE, || async {
        let text = world.get(&format!("{asset}/index.m3u8")).await.text().await.unwrap();
        if text.contains(says) { Ok(text) } else { Err(text) }
    })
    .await
}

/// What stands between quotes behind this.
pub fn quoted<'a>(text: &'a str, behind: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("{behind}=\"")).unwrap_or_else(|| panic!("no {behind} in {text}"));
    rest.split_once('"').unwrap().0
}

pub fn opened(secret: &[u8], number: u64, sealed: &[u8]) -> Vec<u8> {
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_128, secret).unwrap()).unwrap();
    let iv = FixedLength::from(&u128::from(number).to_be_bytes());
    let mut bytes = sealed.to_vec();
    key.decrypt(&mut bytes, DecryptionContext::Iv128(iv)).expect("it is padded as it should be").to_vec()
}

/// How often something was made of a segment or a part, by the service's own account.
pub async fn made(world: &World) -> u64 {
    let text = world.get("metrics").await.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with("flame_derived_made_total{")).expect("it is counted");
    line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("it is a number")
}

fn piece(stored: &Stored, number: usize) -> &[u8] {
    let entry = &stored.finished.index.segments[number];
    let start = usize::try_from(entry.offset_bytes).unwrap();
    &stored.object[start..start + usize::try_from(entry.size_bytes).unwrap()]
}

#[tokio::test]
async fn whole_segments_open_with_the_key_and_lie_under_names_of_their_own() {
    let folder = Scratch::new("encrypted");
    let mut world = world(folder.path(), Some(&[7; 32])).await;
    let (asset, stored) = world.playable(&[1000, 2000, 3000]).await;
    assert!(!multivariant(&world, asset, "v/index.m3u8").await.contains("KEY"));
    encrypt(&world, asset, Some(Encryption::Aes128)).await;
    let playlist = multivariant(&world, asset, "EXT-X-SESSION-KEY:METHOD=AES-128").await;
    let ahead = quoted(&playlist, "AES-128,URI");
    let sealed = playlist.lines().find(|line| line.ends_with("/v/index.m3u8")).unwrap();
    let (version, _) = sealed.split_once('/').unwrap();
    assert!(version.starts_with(&format!("{VERSION}-")) && version.len() == 21, "{version}");
    assert!(playlist.contains(&format!("URI=\"{version}/v/iframes.m3u8\"")), "{playlist}");

    let media = text(&world, &format!("{asset}/{sealed}")).await;
    let (map, key) = (media.find("#EXT-X-MAP").unwrap(), media.find("#EXT-X-KEY:METHOD=AES-128").unwrap());
    assert!(map < key && !media.contains("IV="), "the init segment is in the clear: {media}");
    assert_eq!(quoted(&media, "METHOD=AES-128,URI"), format!("../../{ahead}"));
    let answer = world.get(&format!("{asset}/{ahead}")).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (200, &"no-store".parse().unwrap()));
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    assert!(!answer.headers().contains_key("etag"), "nothing to ask for again with");
    let secret = answer.bytes().await.unwrap();
    assert_eq!(secret.len(), 16);

    let folder_of = format!("{asset}/{version}/v");
    let init = world.get(&format!("{folder_of}/init.mp4")).await.bytes().await.unwrap();
    assert_eq!(init, stored.object[..init.len()]);
    let mut tags = Vec::new();
    for number in 0..3 {
        let answer = world.get(&format!("{folder_of}/{number}.m4s")).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.headers()["cache-control"].to_str().unwrap().contains("immutable"));
        tags.push(answer.headers()["etag"].clone());
        let bytes = answer.bytes().await.unwrap();
        assert!(bytes.len() % 16 == 0 && bytes != piece(&stored, number));
        assert_eq!(opened(&secret, number as u64, &bytes), piece(&stored, number));
    }
    // What is made of a segment is sealed, too: a picture alone, and the end of a clip, which the playlist names.
    let iframes = text(&world, &format!("{folder_of}/iframes.m3u8")).await;
    assert_eq!(quoted(&iframes, "METHOD=AES-128,URI"), format!("../../{ahead}"));
    let picture = world.get(&format!("{folder_of}/i2.m4s")).await.bytes().await.unwrap();
    assert_eq!(&opened(&secret, 2, &picture)[4..8], b"styp");
    let clip = text(&world, &format!("{folder_of}/index.m3u8?from=5s&to=6s")).await;
    assert!(clip.contains("#EXT-X-MEDIA-SEQUENCE:1\n") && clip.contains("1.m4s?to=6.000s"), "{clip}");
    let last = world.get(&format!("{folder_of}/1.m4s?to=6.000s")).await.bytes().await.unwrap();
    let last = opened(&secret, 1, &last);
    assert!(last.len() < piece(&stored, 1).len() && &last[4..8] == b"styp");

    // In the clear nothing is given, neither under the clear names nor as DASH.
    for name in ["index.m3u8", "ts.m3u8", "iframes.m3u8", "init.mp4", "0.m4s", "i0.m4s", "0.ts"] {
        let refused = world.get(&format!("{asset}/{VERSION}/v/{name}")).await;
        assert_eq!(problem(refused).await.0, "encrypted", "{name}");
    }
    assert_eq!(world.get(&format!("{asset}/manifest.mpd")).await.status(), 404);
    for other in [format!("{VERSION}-00000000"), format!("{VERSION}-x"), format!("{version}0")] {
        assert_eq!(problem(world.get(&format!("{asset}/{other}/v/0.m4s")).await).await.0, "not-found", "{other}");
    }
    let (known, other) = (ahead.split_once('/').unwrap().1, "0".repeat(32));
    for (asset, key) in [(asset, &other[..]), (Uuid::new_v4(), known)] {
        let refused = world.get(&format!("{asset}/keys/{key}")).await;
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["cache-control"]),
            (404, &"no-store".parse().unwrap())
        );
    }

    // Another instance: the same key, the same octets, the same tag.
    world.restart_streaming().await;
    assert_eq!(world.get(&format!("{asset}/{ahead}")).await.bytes().await.unwrap(), secret);
    let again = world.get(&format!("{folder_of}/0.m4s")).await;
    assert_eq!(again.headers()["etag"], tags[0]);
    // In the clear again: new viewers get that, and who plays goes on.
    encrypt(&world, asset, None).await;
    assert!(!multivariant(&world, asset, &format!("{VERSION}/v/index.m3u8")).await.contains("KEY"));
    for path in [format!("{folder_of}/0.m4s"), format!("{asset}/{VERSION}/v/0.m4s"), format!("{asset}/{ahead}")] {
        assert_eq!(world.get(&path).await.status(), 200, "{path}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_all_ask_for_is_encrypted_once_and_kept_for_the_next() {
    let folder = Scratch::new("encrypted");
    let mut world = world(folder.path(), None).await;
    let (asset, stored) = world.playable(&[100_000, 2000]).await;
    encrypt(&world, asset, Some(Encryption::Aes128)).await;
    let playlist = multivariant(&world, asset, "EXT-X-SESSION-KEY:METHOD=AES-128").await;
    let sealed = playlist.lines().find_map(|line| line.strip_suffix("/v/index.m3u8")).expect("it has a variant");
    let path = |number: u32| format!("{asset}/{sealed}/v/{number}.m4s");
    let crowd = join_all((0..50).map(|_| async {
        let answer = world.get(&path(0)).await;
        assert_eq!(answer.status(), 200);
        answer.bytes().await.unwrap()
    }))
    .await;
    assert_eq!(made(&world).await, 1, "whoever comes meanwhile waits for the first one's");
    assert!(crowd.iter().all(|bytes| *bytes == crowd[0] && bytes.len() > piece(&stored, 0).len()));

    // It is kept: what is stored is not asked for again. What nobody has asked for is not there.
    world.stop_store().await;
    let again = world.get(&path(0)).await;
    assert_eq!(again.status(), 200);
    assert_eq!(again.bytes().await.unwrap(), crowd[0]);
    assert_eq!(world.get(&path(1)).await.status(), 503);
    // What failed is tried again.
    world.start_store().await;
    eventually(DEADLINE, || async {
        let status = world.get(&path(1)).await.status();
        if status == 200 { Ok(()) } else { Err(status) }
    })
    .await;
    assert_eq!(made(&world).await, 2);
    world.stop().await;
}

#[tokio::test]
async fn the_key_is_for_those_who_may_have_the_asset_and_for_no_cache() {
    let folder = Scratch::new("encrypted");
    let world = world(folder.path(), None).await;
    let (asset, _) = world.playable(&[1000]).await;
    let patch =
        AssetPatch { encryption: Some(Some(Encryption::Aes128)), protected: Some(true), ..AssetPatch::default() };
    set(&world, asset, patch).await;
    let opens = format!("regex:https://streaming\\.main/{asset}/.*");
    let claims = json!({ "cdniuc": opens, "exp": keys::unix_seconds() + 600 });
    let link = keys::sign(&folder.path().join("viewers"), &claims).unwrap();
    let (subject, tenant, scope) = ("vcdn".to_owned(), "default".to_owned(), "service".to_owned());
    let grant = Grant { subject, tenant, scope, life: Duration::from_secs(60) };
    let surrogate = format!("Bearer {}", keys::issue(&folder.path().join("surrogates"), &grant).unwrap().0);

    let signed = format!(";URISigningPackage={link}/{asset}");
    let playlist = eventually(DEADLINE, || async {
        let text = world.get(&format!("{signed}/index.m3u8")).await.text().await.unwrap();
        if text.contains("SESSION-KEY") { Ok(text) } else { Err(text) }
    })
    .await;
    let key = quoted(&playlist, "AES-128,URI");
    let refused = world.get(&format!("{asset}/{key}")).await;
    assert_eq!(refused.headers()["cache-control"], "no-store");
    assert_eq!(problem(refused).await.0, "token-missing");
    let for_viewer = world.get(&format!("{signed}/{key}")).await;
    let for_surrogate = world.ask(Method::GET, &format!("{asset}/{key}"), &[("authorization", &surrogate)]).await;
    let mut secrets = Vec::new();
    for answer in [for_viewer, for_surrogate] {
        assert_eq!(answer.status(), 200);
        let says = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(says("cache-control").unwrap(), "no-store");
        assert!(says("cdn-cache-control").is_none_or(|control| control == "no-store"));
        secrets.push(answer.bytes().await.unwrap());
    }
    assert!(secrets[0].len() == 16 && secrets[0] == secrets[1]);
    world.stop().await;
}

#[tokio::test]
async fn a_key_is_stored_wrapped_and_made_once() {
    let folder = Scratch::new("encrypted");
    let mut world = world(folder.path(), Some(&[7; 32])).await;
    let (asset, _) = world.playable(&[1000]).await;
    encrypt(&world, asset, Some(Encryption::Aes128)).await;
    // Many first viewers at once.
    let asked = (0..8).map(|_| multivariant(&world, asset, "SESSION-KEY"));
    let playlists = futures_util::future::join_all(asked).await;
    assert!(playlists.iter().all(|playlist| *playlist == playlists[0]));
    let key = format!("{asset}/{}", quoted(&playlists[0], "AES-128,URI"));
    let secret = world.get(&key).await.bytes().await.unwrap();
    let document = world.store.get(&format!("default/media/{asset}/key.json"), 4096).await.unwrap();
    let document = String::from_utf8(document.to_vec()).unwrap();
    assert!(document.contains("\"wrapped\":true") && !document.contains(&hex::encode(&secret)), "{document}");

    // Another secret opens nothing, and makes no other key.
    std::fs::write(folder.path().join("secret"), [8; 32]).unwrap();
    world.restart_streaming().await;
    assert_eq!(world.get(&key).await.status(), 500);
    assert_eq!(world.get(&format!("{asset}/index.m3u8")).await.status(), 500);
    std::fs::write(folder.path().join("secret"), [7; 32]).unwrap();
    world.restart_streaming().await;
    assert_eq!(world.get(&key).await.bytes().await.unwrap(), secret);
    world.stop().await;
}
