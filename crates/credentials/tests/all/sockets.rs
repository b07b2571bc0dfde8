//! Handshakes over real sockets: who believes whom.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flame_credentials::standing::{dns_of_name, dns_of_router};
use flame_credentials::{Current, Identity, Key, Peer, Standing, tls};
use flame_test_kit::eventually;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConnection, StreamOwned};

use crate::world::{World, router, service};

/// A listener that answers each connection with who it takes the other side for.
struct Listener {
    address: SocketAddr,
}

// === impl Listener ===

impl Listener {
    fn of(current: &Current) -> Self {
        let config = Arc::new(current.server().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream.unwrap());
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_ok() {
                    let peer = stream.conn.peer_certificates().and_then(|chain| Peer::of(chain.first()?));
                    let said = peer.map_or("a stranger".to_owned(), |peer| peer.standing.to_string());
                    let _ = stream.write_all(said.as_bytes());
                }
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        Self { address }
    }

    /// What it says to who connects as `config` says, looking for `name`.
    fn says(&self, config: ClientConfig, name: &str) -> Result<String, String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream);
        stream.write_all(b"x").map_err(|error| error.to_string())?;
        let mut said = String::new();
        stream.read_to_string(&mut said).map_err(|error| error.to_string())?;
        Ok(said)
    }
}

fn media() -> String {
    dns_of_name(&"media".parse().unwrap())
}

fn member(world: &World, folder: &str, standing: &Standing) -> Current {
    Current::new(world.member(&world.part(folder), standing))
}

#[test]
fn two_of_one_authority_know_each_other_and_a_stranger_is_known_as_one() {
    let world = World::new();
    let listener = Listener::of(&member(&world, "media", &service("edge", &["media"])));
    let asks = member(&world, "router", &router("edge"));
    assert_eq!(listener.says(asks.client().unwrap(), &media()).unwrap(), "router at edge");
    // One that shows nothing has to be told apart by something else.
    let mut shows_nothing = asks.client().unwrap();
    shows_nothing.client_auth_cert_resolver = tls::believing_nobody().unwrap().client_auth_cert_resolver;
    assert_eq!(listener.says(shows_nothing, &media()).unwrap(), "a stranger");
}

#[test]
fn who_is_of_another_authority_has_ended_or_has_another_name_is_not_believed() {
    let (world, other) = (World::new(), World::new());
    let current = member(&world, "media", &service("edge", &["media"]));
    let listener = Listener::of(&current);
    // The one who asks does not believe the listener, nor would the listener believe it.
    let foreign = member(&other, "router", &router("edge"));
    assert!(listener.says(foreign.client().unwrap(), &media()).unwrap_err().contains("UnknownIssuer"));
    // The listener alone: a client that believes anybody of our authority, and shows what theirs has signed.
    let mixed = mixed(&world, &other);
    listener.says(mixed, &media()).unwrap_err();
    let asks = member(&world, "router", &router("edge"));
    let said = listener.says(asks.client().unwrap(), &dns_of_name(&"metadata".parse().unwrap())).unwrap_err();
    assert!(said.contains("not valid for name"), "{said}");
    let said =
        listener.says(asks.client_expecting(&dns_of_router(&"edge".parse().unwrap())).unwrap(), "x").unwrap_err();
    assert!(said.contains("not valid for name"), "{said}");
}

/// Believes our authority, and shows a certificate of theirs.
fn mixed(ours: &World, theirs: &World) -> ClientConfig {
    let foreign = member(theirs, "impostor", &router("edge"));
    let own = member(ours, "honest", &router("edge"));
    let mut config = own.client().unwrap();
    config.client_auth_cert_resolver = Arc::new(foreign);
    config
}

#[tokio::test]
async fn one_that_has_ended_is_refused_on_both_sides() {
    let world = World::new();
    let short = world.issuer.clone().with_life(Duration::from_secs(2));
    let issue = |folder: &str, standing: Standing| {
        let key = Key::joining(&world.part(folder)).unwrap();
        let issued = short.renew(standing, &key.request_pem().unwrap()).unwrap();
        Identity::keep(&world.part(folder), &key, &issued).unwrap()
    };
    let (server, client) = (issue("media", service("edge", &["media"])), issue("router", router("edge")));
    let lasting = member(&world, "lasting", &router("edge"));
    let listener = Listener::of(&Current::new(server.clone()));
    assert!(listener.says(lasting.client().unwrap(), &media()).is_ok());
    let ended = Current::new(client);
    eventually(Duration::from_secs(10), || async {
        // In its last second a handshake still takes it.
        let last = server.ends_unix_s.max(ended.identity().ends_unix_s);
        let over = SystemTime::UNIX_EPOCH + Duration::from_secs(last + 1);
        if server.has_ended() && SystemTime::now() >= over { Ok(()) } else { Err("not yet") }
    })
    .await;
    assert!(listener.says(lasting.client().unwrap(), &media()).unwrap_err().contains("xpired"));
    let fresh = Listener::of(&member(&world, "fresh", &service("edge", &["media"])));
    // The alert may be lost with the connection: that there is none is what counts.
    fresh.says(ended.client().unwrap(), &media()).unwrap_err();
    assert!(fresh.says(lasting.client().unwrap(), &media()).is_ok());
}

#[test]
fn a_certificate_is_replaced_under_a_listener_and_a_client_that_go_on() {
    let world = World::new();
    let current = member(&world, "media", &service("edge", &["media"]));
    let listener = Listener::of(&current);
    let asks = member(&world, "router", &router("edge"));
    let config = asks.client().unwrap();
    assert!(listener.says(config.clone(), &dns_of_name(&"media.west".parse().unwrap())).is_err());
    current.replace(world.member(&world.part("media"), &service("edge", &["media.west"])));
    asks.replace(world.member(&world.part("router"), &router("cloud")));
    // The same configurations, the next handshake.
    let said = listener.says(config, &dns_of_name(&"media.west".parse().unwrap())).unwrap();
    assert_eq!((said.as_str(), current.serial()), ("router at cloud", 1));
}

#[test]
fn who_joins_believes_a_router_of_the_token_s_authority_only() {
    let (world, other) = (World::new(), World::new());
    let at_router = Listener::of(&member(&world, "router", &router("edge")));
    let pinned = |world: &World| tls::joining(world.issuer.fingerprint()).unwrap();
    assert_eq!(at_router.says(pinned(&world), "whatever.example").unwrap(), "a stranger");
    assert!(at_router.says(pinned(&other), "whatever.example").unwrap_err().contains("UnknownIssuer"));
    let at_service = Listener::of(&member(&world, "media", &service("edge", &["media"])));
    assert!(at_service.says(pinned(&world), "whatever.example").unwrap_err().contains("not valid for name"));
}
