//! What starts FLAME elsewhere: valid for schemas that nobody here wrote, in keeping with the table of images, and nobody with more than
//! he needs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use flame_test_kit::repository;
use serde_json::Value;

/// A row of images/images.tsv.
struct Image {
    name: String,
    port: u64,
}

fn images() -> Vec<Image> {
    let table = std::fs::read_to_string(repository().join("images/images.tsv")).expect("the table is there");
    let rows = table.lines().filter(|row| !row.starts_with('#')).map(|row| {
        let columns: Vec<_> = row.split('\t').collect();
        let port = columns[3].split(' ').next().and_then(|port| port.parse().ok());
        Image { name: columns[0].to_owned(), port: port.unwrap_or_else(|| panic!("{row}: no port")) }
    });
    rows.collect()
}

/// The documents of files below `templates`, after the judge has passed them.
fn documents(paths: &[PathBuf]) -> Vec<Value> {
    let ran = Command::new(repository().join("tools/python"))
        .arg(repository().join("media-tests/judges/kubernetes.py"))
        .args(paths)
        .output()
        .expect("tools/python starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let said = String::from_utf8(ran.stdout).expect("JSON is UTF-8");
    said.lines().map(|line| serde_json::from_str(line).expect("the judge prints JSON")).collect()
}

fn template(path: &str) -> PathBuf {
    repository().join("templates").join(path)
}

fn words<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    value[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn manifests_are_valid_for_kubernetes_and_fit_the_images() {
    let mut paths = Vec::new();
    for folder in ["parts", "overlays/small", "overlays/city"] {
        let folder = template("kubernetes").join(folder);
        let files = std::fs::read_dir(&folder).expect("the folder is there");
        let files: BTreeSet<_> = files.map(|entry| entry.expect("it can be read").path()).collect();
        paths.extend(files);
    }
    let all = documents(&paths);
    // A file that nobody lists would be valid, and never applied.
    let listed = |document: &Value| {
        let path = PathBuf::from(document["path"].as_str().expect("the judge says where"));
        let folder = path.parent().expect("files lie in folders").to_owned();
        let resources: Vec<_> = words(document, "resources").iter().map(|name| folder.join(name)).collect();
        resources
    };
    let kustomizations: Vec<_> = all.iter().filter(|document| document["kind"] == "Kustomization").collect();
    assert_eq!(kustomizations.len(), 3);
    let known: BTreeSet<_> = kustomizations.iter().flat_map(|document| listed(document)).collect();
    for path in known.iter().filter(|path| path.extension().is_some()) {
        assert!(path.is_file(), "{} is listed, and is not there", path.display());
    }
    for path in paths.iter().filter(|path| !path.ends_with("kustomization.yaml")) {
        assert!(known.contains(path), "{} is listed nowhere", path.display());
    }

    for Image { name, port } in images().into_iter().filter(|image| image.name != "flame") {
        let short = name.strip_prefix("flame-").expect("parts are called so");
        let of = |kinds: &[&str]| {
            let is_it = |document: &&Value| {
                document["metadata"]["name"] == short && kinds.iter().any(|kind| document["kind"] == *kind)
            };
            all.iter().find(is_it).unwrap_or_else(|| panic!("no {kinds:?} of {short}"))
        };
        let workload = of(&["Deployment", "StatefulSet"]);
        let pod = &workload["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(container["image"], name.as_str());
        assert_eq!(container["ports"][0]["containerPort"], port, "{name}");
        assert_eq!(of(&["Service"])["spec"]["ports"][0]["port"], port, "{name}");
        let safe = &container["securityContext"];
        assert_eq!(safe["capabilities"]["drop"][0], "ALL", "{name}");
        assert!(safe["readOnlyRootFilesystem"] == true && safe["allowPrivilegeEscalation"] == false, "{name}");
        assert!(
            pod["securityContext"]["runAsNonRoot"] == true && pod["automountServiceAccountToken"] == false,
            "{name}"
        );
        assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], "http", "{name}: {probe}");
        }
        // What keeps something is one, on a volume of its own; each part sees its own secret alone.
        let is_kept = workload["kind"] == "StatefulSet";
        assert!(!is_kept || workload["spec"]["replicas"] == 1, "{name}");
        assert_eq!(is_kept, workload["spec"]["volumeClaimTemplates"][0]["spec"]["resources"].is_object(), "{name}");
        let volumes = pod["volumes"].as_array().expect("it has volumes");
        let secrets: Vec<_> = volumes.iter().filter_map(|volume| volume["secret"]["secretName"].as_str()).collect();
        assert_eq!(secrets, [name.as_str()]);
        let mut overlays = kustomizations.iter().filter(|document| document["images"].is_array());
        assert!(overlays.all(|overlay| {
            overlay["images"].as_array().into_iter().flatten().any(|image| image["name"] == name.as_str())
        }));
    }
}

#[test]
fn compose_gives_each_part_its_own_and_nothing_else() {
    let all = documents(&[template("compose/compose.yaml")]);
    let services = all[0]["services"].as_object().expect("it has services");
    let images: BTreeSet<_> = images().into_iter().map(|image| image.name).collect();
    let mut used = BTreeSet::new();
    for (name, service) in services {
        let image = service["image"].as_str().expect("it has an image");
        let image = image.strip_prefix("${REGISTRY:-}").and_then(|image| image.strip_suffix(":${TAG:-edge}"));
        used.insert(image.unwrap_or_else(|| panic!("{name}: an image of {{REGISTRY}} and {{TAG}}")).to_owned());
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(words(service, "cap_drop"), ["ALL"], "{name}");
        assert_eq!(words(service, "security_opt"), ["no-new-privileges:true"], "{name}");
        for port in words(service, "ports") {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is open to others");
        }
        let volumes = words(service, "volumes");
        assert_eq!(
            volumes.iter().any(|volume| volume.starts_with("authority:")),
            name == "parts",
            "{name}: {volumes:?}"
        );
        if !matches!(name.as_str(), "flame" | "parts") {
            // An instance at another site is one of the same part.
            let part = name.split('-').next().expect("it has a name");
            let own = format!("{part}-part:/etc/flame:ro");
            let parts: Vec<_> = volumes.iter().filter(|volume| volume.contains("-part:")).collect();
            assert_eq!(parts, [&own.as_str()]);
        }
    }
    assert_eq!(used, images);
}

/// Names of the networks that a service joins.
fn networks(service: &Value) -> Vec<&str> {
    let by_name = service["networks"].as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    words(service, "networks").into_iter().chain(by_name).collect()
}

#[test]
fn between_sites_of_compose_are_routers_alone() {
    let all = documents(&[template("compose/compose.yaml")]);
    let services = all[0]["services"].as_object().expect("it has services");
    let on = |network: &str| -> BTreeSet<_> {
        let them = services.iter().filter(|(_, service)| networks(service).contains(&network));
        them.map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(on("wan"), BTreeSet::from(["router-cloud", "router-harbour", "router-market"]));
    for site in ["harbour", "market"] {
        let (router, surrogate) = (format!("router-{site}"), format!("vcdn-{site}"));
        assert_eq!(on(site), BTreeSet::from([router.as_str(), surrogate.as_str()]));
        assert_eq!(services[&router]["environment"]["FLAME_ROUTER__SITE"], site);
        assert_eq!(words(&services[&router]["networks"][site], "aliases"), ["router"], "its parts ask it by that name");
    }
    for router in on("wan") {
        let (environment, wan) = (&services[router]["environment"], &services[router]["networks"]["wan"]);
        assert_eq!(environment["FLAME_ROUTER__MULTICAST__INTERFACE"], wan["ipv4_address"], "{router}");
        // It answers at the names that it is asked at: else it would be 421.
        let hosts = environment["FLAME_ROUTER__PUBLIC_HOSTS"].as_str().expect("it is said");
        assert_eq!(serde_json::from_str::<Value>(hosts).expect("it is a list"), serde_json::json!(["router", router]));
    }
    let file = std::fs::read_to_string(template("compose/sites.toml")).expect("the site file is there");
    let file: toml::Table = file.parse().expect("it is TOML");
    let named = file["sites"].as_array().expect("it has sites").iter();
    let named: Vec<_> = named.filter_map(|site| site["router"].as_str()).collect();
    assert_eq!(named, ["router-cloud:8080", "router-harbour:8080", "router-market:8080"]);
}

#[test]
fn with_certificates_each_part_of_compose_writes_to_its_own_folder() {
    let all = documents(&[template("compose/compose.yaml"), template("compose/tls.yaml")]);
    let (plain, more) = (&all[0]["services"], all[1]["services"].as_object().expect("it has services"));
    let is_of_full = |service: &Value| words(service, "profiles").contains(&"full");
    let full = plain.as_object().expect("it has services").iter().filter(|(_, service)| is_of_full(service));
    let full: BTreeSet<_> = full.map(|(name, _)| name).collect();
    assert_eq!(more.keys().collect::<BTreeSet<_>>(), full);
    for (name, service) in more.iter().filter(|(name, _)| *name != "parts") {
        assert_eq!(words(service, "volumes"), [format!("{name}-part:/etc/flame")], "{name}");
    }
    // What is said of the router is what it is told.
    let said = words(&more["parts"], "command");
    assert!(said.contains(&"--tls") && said.contains(&"https://router:8443"), "{said:?}");
    assert_eq!(more["router"]["environment"]["FLAME_ROUTER__HOST__LISTEN"], "0.0.0.0:8443");
}

#[test]
fn a_stack_gives_each_part_its_own_secrets() {
    let all = documents(&[template("swarm/stack.yaml")]);
    let services = all[0]["services"].as_object().expect("it has services");
    assert_eq!(services.len() + 1, images().len());
    for (name, service) in services {
        assert!(service["image"].as_str().is_some_and(|image| image.contains(&format!("flame-{name}:"))), "{name}");
        let secrets = service["secrets"].as_array().expect("it has secrets");
        for secret in secrets {
            let source = secret["source"].as_str().expect("it is one of those below");
            assert!(source.starts_with(&format!("{name}-")), "{name} gets {source}");
            let file = all[0]["secrets"][source]["file"].as_str().unwrap_or_default();
            assert!(file.starts_with(&format!("./parts/{name}/")), "{name}: {file}");
            // A secret of a swarm cannot change: another one takes its place.
            let called = all[0]["secrets"][source]["name"].as_str().unwrap_or_default();
            assert!(called.contains("${SECRETS"), "{name}: {called}");
        }
        assert!(secrets.iter().any(|secret| secret["target"] == "/etc/flame/part.toml"), "{name}");
    }
}
