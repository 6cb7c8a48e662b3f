//! The manifests for Kubernetes.

use serde_json::{Value, json};

use super::{AFTER_GRACE, files_named, image, settings, texts, write_secret, yaml};
use crate::docs::markdown::{Document, project, read};
use crate::support::Gateway;

const FOLDER: &str = "deploy/kubernetes/base";

fn manifest(name: &str) -> Value {
    yaml(&format!("{FOLDER}/{name}.yaml"))
}

#[test]
fn the_settings_load_with_the_secrets_that_are_mounted() {
    for folder in ["base", "example"] {
        assert_settings_load(&read(&format!("deploy/kubernetes/{folder}/wxgate.toml")));
    }
}

fn assert_settings_load(text: &str) {
    let pod = manifest("deployment")["spec"]["template"]["spec"].clone();
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let path_of = |volume: &str| {
        let mount = mounts.iter().find(|mount| mount["name"] == volume).unwrap();
        mount["mountPath"].as_str().unwrap()
    };
    let config = pod["containers"][0]["env"].as_array().unwrap().iter();
    let config = config
        .into_iter()
        .find(|variable| variable["name"] == "WXGATE_CONFIG")
        .unwrap();
    assert_eq!(config["value"], format!("{}/wxgate.toml", path_of("settings")));

    let (folder, kustomization) = (
        tempfile::tempdir().unwrap(),
        read("deploy/kubernetes/example/kustomization.yaml"),
    );
    for name in files_named(text, path_of("secrets")) {
        let created = kustomization.contains(&format!("--from-file={name}"));
        assert!(created, "the command that creates the secret does not name {name}");
        write_secret(folder.path(), name);
    }
    let text = text.replace(path_of("secrets"), folder.path().to_str().unwrap());
    let settings = settings(&text, &image::environment());
    assert_eq!(settings.warnings(), Vec::<String>::new());
    // Every version of Kubernetes supports this; `preStop.sleep` needs 1.30.
    assert!(pod["containers"][0]["lifecycle"].is_null());
    let all = settings.server.shutdown_delay.as_secs() + settings.server.shutdown_grace.as_secs() + AFTER_GRACE;
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > all);

    let ports = pod["containers"][0]["ports"].as_array().unwrap();
    let expected = [
        json!({ "name": "public", "containerPort": settings.server.listen.port() }),
        json!({ "name": "internal", "containerPort": settings.internal.listen.unwrap().port() }),
    ];
    assert_eq!(*ports, expected);
}

#[tokio::test]
async fn probes_ask_what_the_public_listener_answers() {
    let gateway = Gateway::start().await;
    gateway.until_ready().await;
    let container = manifest("deployment")["spec"]["template"]["spec"]["containers"][0].clone();
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(asked["port"], "public", "{probe}");
        let answer = gateway.get(asked["path"].as_str().unwrap()).await;
        assert_eq!(answer.status, 200, "{probe}");
    }
    // A live process must not be killed because WeChat or Redis is down.
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/readyz");
}

#[test]
fn two_replicas_are_one_service_and_restricted() {
    let deployment = manifest("deployment");
    let spec = &deployment["spec"];
    assert!(spec["replicas"].as_u64().unwrap() >= 2);
    let labels = &spec["template"]["metadata"]["labels"];
    let budget = manifest("poddisruptionbudget");
    assert_eq!(budget["spec"]["minAvailable"], 1);
    let policy = manifest("networkpolicy");
    let mut selectors = vec![
        spec["selector"]["matchLabels"].clone(),
        manifest("service")["spec"]["selector"].clone(),
        manifest("service-internal")["spec"]["selector"].clone(),
        budget["spec"]["selector"]["matchLabels"].clone(),
        policy["spec"]["podSelector"]["matchLabels"].clone(),
    ];
    let pod = &spec["template"]["spec"];
    let spread = pod["topologySpreadConstraints"].as_array().unwrap();
    selectors.extend(
        spread
            .iter()
            .map(|spread| spread["labelSelector"]["matchLabels"].clone()),
    );
    for selector in selectors {
        assert_eq!(&selector, labels);
    }

    assert_eq!(pod["automountServiceAccountToken"], false);
    let security = &pod["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(texts(&container["securityContext"]["capabilities"]["drop"]), ["ALL"]);
    assert!(container["resources"]["limits"]["memory"].is_string());
    let secret = &pod["volumes"][1]["secret"];
    assert_eq!(secret["secretName"], "wxgate");
    // Single files of a volume are never replaced, so a changed secret would not be seen.
    for mount in container["volumeMounts"].as_array().unwrap() {
        assert!(mount["subPath"].is_null() && mount["subPathExpr"].is_null(), "{mount}");
    }
    assert!(secret["items"].is_null());
}

#[test]
fn network_policy_restricts_the_internal_listener_only() {
    let policy = manifest("networkpolicy");
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    let of = |port: &str| {
        let rules = rules.iter().filter(|rule| rule["ports"][0]["port"] == port);
        rules.map(|rule| rule["from"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("public"), [Value::Null]);
    // A pod selector needs a namespace selector beside it: alone it would match pods of wxgate's namespace.
    let expected = json!([
        {
            "namespaceSelector": { "matchLabels": { "wxgate-clients": "true" } },
            "podSelector": { "matchLabels": { "wxgate-client": "true" } },
        },
        { "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "monitoring" } } },
    ]);
    assert_eq!(of("internal"), [expected]);
    assert_eq!(rules.len(), 2);
    assert_eq!(manifest("service")["spec"]["ports"][0]["targetPort"], "public");
    let service = manifest("service-internal");
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "internal");
    // The URL that is documented for clients.
    let (name, port) = (
        service["metadata"]["name"].as_str().unwrap(),
        &service["spec"]["ports"][0]["port"],
    );
    let namespace = manifest("namespace")["metadata"]["name"].as_str().unwrap().to_owned();
    let url = format!("http://{name}.{namespace}.svc:{port}");
    assert!(read(&format!("{FOLDER}/networkpolicy.yaml")).contains(&url), "{url}");
}

#[test]
fn documented_egress_policy_selects_the_pods_and_allows_redis() {
    for name in ["deploy/README.md", "deploy/README.zh-CN.md"] {
        let text = read(name);
        let document = Document {
            name: name.to_owned(),
            text,
        };
        let policy: Value = serde_saphyr::from_str(&document.blocks_in("yaml").concat()).unwrap();
        assert_eq!(
            policy["spec"]["podSelector"],
            manifest("networkpolicy")["spec"]["podSelector"]
        );
        assert_eq!(
            policy["metadata"]["namespace"],
            manifest("namespace")["metadata"]["name"]
        );
        let rules = policy["spec"]["egress"].as_array().unwrap().iter();
        let ports: Vec<_> = rules.map(|rule| rule["ports"][0]["port"].as_u64()).collect();
        assert_eq!(ports, [53, 443, 6379].map(Some), "{name}");
    }
}

#[test]
fn every_kustomization_names_every_file() {
    for folder in ["base", "example", "operator"] {
        let folder = format!("deploy/kubernetes/{folder}");
        let kustomization = yaml(&format!("{folder}/kustomization.yaml"));
        let mut named = texts(&kustomization["resources"]);
        if let Some(maps) = kustomization["configMapGenerator"].as_array() {
            named.extend(texts(&maps[0]["files"]));
        }
        named.push("kustomization.yaml");
        named.retain(|name| !name.starts_with("../"));
        named.sort_unstable();
        let mut files: Vec<_> = std::fs::read_dir(project(&folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort_unstable();
        assert_eq!(named, files, "{folder}");
    }
}
