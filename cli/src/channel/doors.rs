//! How encoders publish to a channel: one line a door, to be copied. Pure.

use flame_api::ingest::LiveDoors;
use url::Url;

/// A ladder of one picture for the command that pushes: both have the same key frames.
const LADDER: &str = "-map 0:v -map 0:v -map 0:a -c:v libx264 -preset veryfast -sc_threshold 0 -s:v:0 1280x720 -b:v:0 2500k \
                      -s:v:1 640x360 -b:v:1 800k -c:a aac";

/// What people type, by door. `key` may be a word that stands for it.
pub fn ways(doors: &LiveDoors, router: &Url, push: &Url, key: &str, segment_s: f64) -> Vec<String> {
    let mut ways = Vec::new();
    let mut way = |name: &str, address: String, command: String| {
        ways.push(format!("{name:<5} {address}\n      {command}"));
    };
    if let Some(rtmp) = &doors.rtmp {
        let server = format!("rtmp://{}/live", reached(rtmp, router));
        let address = format!("{server}/{key}   (OBS: server {server}, stream key {key})");
        way("RTMP", address, format!("ffmpeg -re -i FILE -c copy -f flv {server}/{key}"));
    }
    if let Some(srt) = &doors.srt {
        let secret = if doors.srt_encrypted { "&passphrase=PASSPHRASE" } else { "" };
        let address = format!("srt://{}?streamid={key}{secret}", reached(srt, router));
        way("SRT", address.clone(), format!("ffmpeg -re -i FILE -c copy -f mpegts '{address}'"));
    }
    if doors.whip {
        let address = format!("{}/{key}", beside(push, "whip"));
        let codecs = "-c:v libx264 -profile:v baseline -tune zerolatency -c:a libopus -ac 2";
        let keys = format!("-force_key_frames 'expr:gte(t,n_forced*{segment_s})'");
        let command = format!("ffmpeg -re -i FILE {codecs} {keys} -f whip {address}");
        way("WHIP", format!("{address}   (browsers, OBS; FFmpeg 8 or later)"), command);
    }
    if doors.push {
        let keys = format!("-force_key_frames 'expr:gte(t,n_forced*{segment_s})'");
        let dash =
            format!("-f dash -streaming 1 -ldash 1 -seg_duration {segment_s} -frag_type every_frame -method PUT");
        let command = format!("ffmpeg -re -i FILE {LADDER} {keys} {dash} {push}/{key}/live.mpd");
        way("CMAF", format!("{push}/{key}/TRACK.mp4   (each track; several pictures become variants)"), command);
    }
    ways
}

/// Another door of the service.
fn beside(push: &Url, door: &str) -> String {
    push.join(door).map_or_else(|_| door.to_owned(), String::from)
}

/// A door that listens on all addresses is reached where the router is.
fn reached(address: &str, router: &Url) -> String {
    match address.parse::<std::net::SocketAddr>() {
        Ok(parsed) if parsed.ip().is_unspecified() => {
            format!("{}:{}", router.host_str().unwrap_or("localhost"), parsed.port())
        }
        Ok(_) | Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_door_has_an_address_and_a_command() {
        let doors = LiveDoors {
            rtmp: Some("0.0.0.0:1935".to_owned()),
            srt: Some("0.0.0.0:8890".to_owned()),
            srt_encrypted: false,
            push: true,
            whip: true,
        };
        let router: Url = "http://media.example:8080/".parse().unwrap();
        let push: Url = "http://media.example:8080/~ingest/push".parse().unwrap();
        let ways = ways(&doors, &router, &push, "KEY", 2.0);
        assert_eq!(ways.len(), 4);
        assert!(ways[0].contains("rtmp://media.example:1935/live/KEY"), "{}", ways[0]);
        assert!(ways[1].ends_with("-f mpegts 'srt://media.example:8890?streamid=KEY'"), "{}", ways[1]);
        assert!(ways[2].ends_with("-f whip http://media.example:8080/~ingest/whip/KEY"), "{}", ways[2]);
        assert!(ways[3].ends_with("-method PUT http://media.example:8080/~ingest/push/KEY/live.mpd"), "{}", ways[3]);
        let encrypted = LiveDoors { srt_encrypted: true, rtmp: None, push: false, whip: false, ..doors };
        let ways = super::ways(&encrypted, &router, &push, "KEY", 2.0);
        assert!(ways[0].ends_with("8890?streamid=KEY&passphrase=PASSPHRASE'"), "{}", ways[0]);
        assert!(super::ways(&LiveDoors { srt: None, ..encrypted }, &router, &push, "KEY", 2.0).is_empty());
    }
}
