//! What a webhook is told: a change as a CloudEvent (CloudEvents 1.0.2, JSON event format 1.0.2, structured mode), signed as Standard
//! Webhooks says (specification 1.0.0, symmetric signatures). Pure.
//!
//! An event is told at least once, and has the same `id` each time: who has seen `source` and `id` has seen the event.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flame_api::metadata::ChangeNotice;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The media type of an event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";
/// What a secret begins with; base64 follows.
const SECRET_PREFIX: &str = "whsec_";
/// Bytes of a secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The key of a webhook's signatures. Nobody sees it in a log.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Secret(Vec<u8>);

/// Something that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name among those of its tenant.
    pub id: String,
    /// The CloudEvent.
    pub body: Vec<u8>,
}

// === impl Event ===

impl Event {
    /// That something became of an asset.
    #[must_use]
    pub fn change(tenant: &str, notice: &ChangeNotice) -> Self {
        let data = json!(notice);
        let kind = data["action"].as_str().unwrap_or_default().to_owned();
        let id = format!("{tenant}-{}", notice.position);
        Self::new(id, tenant, (&format!("flame.asset.{kind}"), Some(notice.asset_id.to_string())), notice.at, data)
    }

    /// That the feed no longer holds what came after position `after`: `next` is told next, and who keeps a copy of the catalogue
    /// reads it anew.
    #[must_use]
    pub fn lost(tenant: &str, after: u64, next: u64, at: OffsetDateTime) -> Self {
        let data = json!({ "after": after, "next": next });
        Self::new(format!("{tenant}-lost-{after}-{next}"), tenant, ("flame.changes.lost", None), at, data)
    }

    fn new(id: String, tenant: &str, (kind, subject): (&str, Option<String>), at: OffsetDateTime, data: Value) -> Self {
        let mut event = json!({
            "specversion": "1.0", "id": id, "source": format!("urn:flame:catalogue:{tenant}"), "type": kind,
            "datacontenttype": "application/json", "data": data,
        });
        // Every time that the catalogue holds can be written so: its years have four digits.
        event["time"] = at.format(&Rfc3339).map_or(Value::Null, Value::from);
        if let Some(subject) = subject {
            event["subject"] = subject.into();
        }
        Self { id, body: event.to_string().into_bytes() }
    }

    /// The value of `webhook-signature`, of an attempt at `at_s` (seconds since the Unix epoch).
    #[must_use]
    pub fn signature(&self, secret: &Secret, at_s: i64) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes keys of any length");
        mac.update(format!("{}.{at_s}.", self.id).as_bytes());
        mac.update(&self.body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

// === impl Secret ===

impl TryFrom<String> for Secret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let key = text.strip_prefix(SECRET_PREFIX).and_then(|key| STANDARD.decode(key).ok());
        key.filter(|key| SECRET_BYTES.contains(&key.len())).map(Self).ok_or_else(|| {
            let (least, most) = (SECRET_BYTES.start(), SECRET_BYTES.end());
            format!("a secret is `{SECRET_PREFIX}` and {least} to {most} bytes in base64: `echo {SECRET_PREFIX}$(openssl rand -base64 32)`")
        })
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use flame_api::metadata::Action;
    use uuid::Uuid;

    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn a_signature_is_that_of_the_example() {
        let secret = Secret::try_from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()).unwrap();
        let event = Event { id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(), body: br#"{"test": 2432232314}"#.to_vec() };
        let signature = event.signature(&secret, 1_614_265_330);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_ne!(event.signature(&secret, 1_614_265_331), signature);
    }

    #[test]
    fn a_secret_is_long_enough_and_in_no_log() {
        for wrong in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_!"] {
            assert!(Secret::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
        assert!(Secret::try_from(format!("whsec_{}", STANDARD.encode([0; 65]))).is_err());
        let secret = Secret::try_from(format!("whsec_{}", STANDARD.encode([7; 24]))).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn a_change_is_a_cloud_event() {
        let notice = ChangeNotice {
            position: 7,
            asset_id: Uuid::nil(),
            revision: 2,
            at: OffsetDateTime::UNIX_EPOCH,
            by: "loopback".to_owned(),
            action: Action::SubtitleListed,
            detail: None,
        };
        let event = Event::change("default", &notice);
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        let wanted = json!({
            "specversion": "1.0", "id": "default-7", "source": "urn:flame:catalogue:default", "type": "flame.asset.subtitle-listed",
            "subject": Uuid::nil(), "time": "1970-01-01T00:00:00Z", "datacontenttype": "application/json", "data": notice,
        });
        assert_eq!((event.id.as_str(), body), ("default-7", wanted));
        let lost = Event::lost("default", 3, 9, OffsetDateTime::UNIX_EPOCH);
        let body: Value = serde_json::from_slice(&lost.body).unwrap();
        assert_eq!((&body["type"], &body["data"]["next"]), (&"flame.changes.lost".into(), &9.into()));
        assert_eq!(body.get("subject"), None);
    }
}
