//! OpenSSL reads what is issued: the same names, the same chain, and nothing beyond the authority's reach.

use std::process::Command;

use flame_credentials::Key;
use flame_credentials::standing::{ANY_ROUTER, dns_of_name};
use rcgen::{CertificateParams, KeyPair};

use crate::world::{World, as_is, router, service};

/// Whether OpenSSL believes `certificate` for the host `name`.
fn verifies(world: &World, certificate: &str, name: &str) -> Result<(), String> {
    let file = world.part("leaf.pem");
    std::fs::write(&file, certificate).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", name, "-CAfile"]);
    let ran = openssl.arg(world.part("ca").join("ca.pem")).arg(file).output().unwrap();
    if ran.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ran.stderr).into_owned()) }
}

#[test]
fn openssl_believes_a_certificate_for_its_names_and_no_others() {
    let world = World::new();
    let renew =
        |standing| world.issuer.renew(standing, &Key::new().unwrap().request_pem().unwrap()).unwrap().certificate_pem;
    let media = renew(service("edge", &["media.*", "metadata.main.acme"]));
    let dns = |name: &str| dns_of_name(&name.parse().unwrap());
    for name in ["media", "media.west", "metadata.main.acme"] {
        verifies(&world, &media, &dns(name)).unwrap();
    }
    for name in ["metadata", "media.west.acme", "cache"] {
        assert!(verifies(&world, &media, &dns(name)).unwrap_err().contains("hostname mismatch"), "{name}");
    }
    verifies(&world, &media, ANY_ROUTER).unwrap_err();
    verifies(&world, &renew(router("edge")), ANY_ROUTER).unwrap();
}

#[test]
fn the_authority_reaches_no_other_domain() {
    let world = World::new();
    let pem = std::fs::read_to_string(world.part("ca").join("ca.key")).unwrap();
    let stolen = rcgen::Issuer::from_ca_cert_pem(world.issuer.certificate_pem(), KeyPair::from_pem(&pem).unwrap());
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["www.example.org".to_owned()]).unwrap();
    let forged = params.signed_by(&key, &stolen.unwrap()).unwrap().pem();
    let said = verifies(&world, &forged, "www.example.org").unwrap_err();
    assert!(said.contains("permitted subtree violation"), "{said}");
}

#[test]
fn a_request_of_openssl_is_signed() {
    let world = World::new();
    let (key, request) = (world.part("own.key"), world.part("own.csr"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=me"]);
    let ran = openssl.args(["-addext", "subjectAltName=DNS:www.example.org"]).arg("-keyout").arg(key);
    assert!(ran.arg("-out").arg(&request).output().unwrap().status.success());
    let standing = service("edge", &["media"]);
    let token = world.invite(&standing);
    let issued = world.issuer.join(&token, &as_is(&standing), &std::fs::read_to_string(request).unwrap()).unwrap();
    verifies(&world, &issued.certificate_pem, &dns_of_name(&"media".parse().unwrap())).unwrap();
    // What the request says of itself does not count.
    verifies(&world, &issued.certificate_pem, "www.example.org").unwrap_err();
}
