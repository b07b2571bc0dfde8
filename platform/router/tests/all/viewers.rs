//! Viewers over TLS: the certificate of the name that they ask for, read again when it was renewed; curl and OpenSSL judge.

use std::path::Path;
use std::process::{Output, Stdio};

use flame_router::config::{CertificateFiles, ViewersConfig};
use flame_test_kit::{Scratch, repository};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::world::{Service, World};

/// A self-signed certificate for `name`, as somebody else's tool makes it.
async fn certificate(folder: &Path, name: &str) -> CertificateFiles {
    let file = |extension: &str| folder.join(format!("{}.{extension}", name.replace('*', "any")));
    let (certificate, key) = (file("pem"), file("key"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]);
    openssl.args(["-subj", "/CN=viewers", "-addext", &format!("subjectAltName=DNS:{name}")]);
    let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    CertificateFiles { certificate, key }
}

async fn curl(port: u16, name: &str, ca: &Path, more: &[&str], path: &str) -> Output {
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--max-time",
        "20",
        "--noproxy",
        "*",
        "--resolve",
        &format!("{name}:{port}:127.0.0.1"),
        "--cacert",
    ]);
    curl.arg(ca).args(more).arg(format!("https://{name}:{port}{path}"));
    curl.stdin(Stdio::null()).output().await.unwrap()
}

fn text(ran: &Output) -> String {
    String::from_utf8_lossy(if ran.status.success() { &ran.stdout } else { &ran.stderr }).into_owned()
}

#[tokio::test]
async fn each_name_is_shown_its_certificate_and_both_versions_of_http_are_spoken() {
    let folder = Scratch::new("viewers");
    let [port] = flame_test_kit::ports::free_tcp();
    let (one, any) = (certificate(&folder, "one.example").await, certificate(&folder, "*.any.example").await);
    let world = World::with(|config| {
        config.public_hosts = vec!["one.example".to_owned(), "x.any.example".to_owned()];
        let listen = ([127, 0, 0, 1], port).into();
        config.viewers = vec![ViewersConfig { listen, certificates: vec![one.clone(), any.clone()] }];
    })
    .await;
    let echo = Service::echo().await;
    world.register("media", &echo).await;
    for (version, flag) in [("1.1", "--http1.1"), ("2", "--http2")] {
        let ran = curl(port, "one.example", &one.certificate, &[flag, "-w", "%{http_version}"], "/~media/x").await;
        let said = text(&ran);
        assert!(said.starts_with("GET /x\n") && said.ends_with(&format!("\n{version}")), "{said}");
        assert!(said.contains("x-forwarded-proto: https") && said.contains("proto=https"), "{said}");
    }
    let ran = curl(port, "x.any.example", &any.certificate, &[], "/~media/x").await;
    assert!(ran.status.success(), "{}", text(&ran));
    // The other one's certificate does not do, and a name without one is refused.
    assert!(!curl(port, "x.any.example", &one.certificate, &[], "/~media/x").await.status.success());
    let ran = curl(port, "two.example", &one.certificate, &["--insecure"], "/~media/x").await;
    assert!(!ran.status.success(), "{}", text(&ran));
    // On the plain listener it stays http.
    let plain = world.get("/~media/x").await.text().await.unwrap();
    assert!(plain.contains("x-forwarded-proto: http\n"), "{plain}");
}

#[tokio::test]
async fn renewed_files_are_read_when_the_router_is_told_and_damaged_ones_change_nothing() {
    let folder = Scratch::new("viewers-reload");
    let [port] = flame_test_kit::ports::free_tcp();
    let files = certificate(&folder, "one.example").await;
    let world = World::with(|config| {
        config.public_hosts = vec!["one.example".to_owned()];
        let listen = ([127, 0, 0, 1], port).into();
        config.viewers = vec![ViewersConfig { listen, certificates: vec![files.clone()] }];
    })
    .await;
    let before = folder.join("before.pem");
    std::fs::copy(&files.certificate, &before).unwrap();
    let believed = async |ca: &Path| curl(port, "one.example", ca, &[], "/health/live").await.status.success();
    assert!(believed(&before).await);
    certificate(&folder, "one.example").await;
    assert!(believed(&before).await, "nobody has told it yet");
    world.router.reload();
    assert!(!believed(&before).await && believed(&files.certificate).await);
    std::fs::write(&files.key, "rubbish").unwrap();
    world.router.reload();
    assert!(believed(&files.certificate).await);
}

/// A library that nobody here wrote speaks at both ends: compressed, large, empty and many messages, and the end with its reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_of_a_library_goes_through_the_viewers_listener_in_both_forms() {
    let folder = Scratch::new("viewers-websocket");
    let [port] = flame_test_kit::ports::free_tcp();
    let (www, chat) = (certificate(&folder, "www.example").await, certificate(&folder, "chat.example").await);
    let world = World::with(|config| {
        "example".clone_into(&mut config.domain);
        config.public_hosts = vec!["www.example".to_owned()];
        let listen = ([127, 0, 0, 1], port).into();
        config.viewers = vec![ViewersConfig { listen, certificates: vec![www.clone(), chat.clone()] }];
    })
    .await;
    let root = repository();
    let library = || {
        let mut command = Command::new(root.join("tools/python"));
        command.arg(root.join("media-tests/judges/websocket.py")).stdin(Stdio::null()).kill_on_drop(true);
        command
    };
    let mut server = library().arg("serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let listens: u16 = lines.next_line().await.unwrap().expect("it says where it listens").parse().unwrap();
    world.register_address("chat", ([127, 0, 0, 1], listens).into()).await;
    for (url, files) in [("www.example:PORT/~chat/echo", &www), ("chat.example:PORT/echo", &chat)] {
        let url = format!("wss://{}", url.replace("PORT", &port.to_string()));
        let asked = library().arg("ask").arg(&url).arg(&files.certificate).output().await.unwrap();
        assert!(asked.status.success(), "{url}: {}", String::from_utf8_lossy(&asked.stderr));
    }
}
