//! What a surrogate saves, as others count it: a server that nobody here wrote, in its access log, and the kernel, at the link
//! between the origin's machine and the one where router, surrogate and viewers are.

use std::net::SocketAddr;

use flame_api::Client;
use flame_api::router::Registration;
use flame_service_host::HostConfig;
use flame_test_kit::foreign::Foreign;
use flame_test_kit::{Network, Scratch, eventually, loud_skip};
use flame_vcdn::config::FrontConfig;
use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use url::Url;

use crate::world::{PATIENCE, bytes};

const OBJECT_BYTES: usize = 1 << 20;
/// Viewers of one object at once.
const VIEWERS: usize = 100;
/// Viewers who go past the surrogate: each costs a copy.
const OTHERS: usize = 5;
const OBJECTS: usize = 3;
const PORT: u16 = 9000;
/// What headers add to a copy on the link, and what is asked for.
const COPIES_MAX: f64 = 1.1;

/// Asks for `url`; what comes is compared as it comes.
async fn view(http: &reqwest::Client, url: &str, whole: &[u8]) {
    let mut answer = http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    let mut at = 0;
    while let Some(piece) = answer.chunk().await.unwrap() {
        assert!(whole.get(at..at + piece.len()) == Some(&piece[..]), "{url} differs after {at} bytes");
        at += piece.len();
    }
    assert_eq!(at, whole.len(), "{url}");
}

/// Everything that is at the edge, in its namespace.
async fn at_the_edge(network: &Network, origin: &Foreign, address: SocketAddr) {
    eventually(PATIENCE, || TcpStream::connect(address)).await;
    let host = HostConfig { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..HostConfig::default() };
    let router = flame_router::start(flame_router::Config { host, ..flame_router::Config::default() }).await.unwrap();
    let url = Url::parse(&format!("http://{}", router.address())).unwrap();
    let registration = Registration::new(address, 1, 60_000);
    Client::new(url.clone(), None).register("origin", "one", &registration).await.unwrap();
    let host = HostConfig { router: Some(url.clone()), ..HostConfig::default() };
    let fronts = vec![FrontConfig::new("cdn", "origin")];
    let config = flame_vcdn::Config { host, fronts, ..flame_vcdn::Config::default() };
    let vcdn = flame_vcdn::start(config).await.unwrap();
    let (http, whole) = (reqwest::Client::builder().no_proxy().build().unwrap(), bytes(OBJECT_BYTES));
    // Copies on the origin's link that so many viewers of one object by one name cost.
    let copies = async |name: &str, object: usize, viewers: usize| {
        let before = network.sent_bytes("origin");
        let target = format!("{url}~{name}/object/{object}");
        join_all((0..viewers).map(|_| view(&http, &target, &whole))).await;
        (network.sent_bytes("origin") - before) as f64 / OBJECT_BYTES as f64
    };
    for object in 0..OBJECTS {
        let (cold, warm) = (copies("cdn", object, VIEWERS).await, copies("cdn", object, VIEWERS).await);
        let asked = origin.asked(&format!("/object/{object}"));
        println!("{VIEWERS} viewers at once, and again: {cold:.3} and {warm:.3} copies, {} fetches", asked.len());
        assert!(asked.len() == 1 && asked[0].contains(" 200 "), "{asked:?}");
        assert!(cold <= COPIES_MAX && warm <= COPIES_MAX - 1.0, "{cold} copies, and {warm} when it was kept");
    }
    // Without the surrogate each viewer is a line and a copy.
    let past = copies("origin", 0, OTHERS).await;
    let asked = origin.asked("/object/0");
    assert_eq!(asked.len(), 1 + OTHERS, "{asked:?}");
    assert!(past >= OTHERS as f64, "{past} copies for {OTHERS} viewers");
    vcdn.stop().await;
    router.stop().await;
}

#[test]
fn the_access_log_of_a_foreign_origin_has_a_line_an_object_and_its_link_carries_it_once() {
    if let Some(reason) = Network::missing() {
        return loud_skip(&format!("no network of namespaces: {reason}"));
    }
    let (network, folder) = (Network::new(&["origin", "edge"]), Scratch::new("vcdn-savings"));
    let objects = folder.join("objects/object");
    std::fs::create_dir_all(&objects).unwrap();
    (0..OBJECTS).for_each(|object| std::fs::write(objects.join(object.to_string()), bytes(OBJECT_BYTES)).unwrap());
    let origin = Foreign::start(&network, "origin", PORT, &folder.join("objects"), &folder.join("access.log"));
    let address = (network.address("origin"), PORT).into();
    network.on("edge", || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(at_the_edge(&network, &origin, address));
    });
}
