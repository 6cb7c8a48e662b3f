//! The example overlay for Kubernetes and the Prometheus operator's objects, built as `kubectl apply -k` builds them.

use std::process::Command;

use serde_json::Value;

use super::{texts, yaml};
use crate::docs::markdown::{project, read};

const FOLDER: &str = "deploy/kubernetes/example";

/// What `kubectl kustomize` makes of a folder; `None` without kubectl.
fn built(folder: &std::path::Path) -> Option<Vec<Value>> {
    let output = Command::new("kubectl").arg("kustomize").arg(folder).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = text.split("\n---\n");
    Some(documents.map(|text| serde_saphyr::from_str(text).unwrap()).collect())
}

fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    first
}

#[test]
fn example_overlay_replaces_every_placeholder() {
    let Some(objects) = built(&project(FOLDER)) else { return };
    let deployment = only(&objects, "Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    // kustomize silently ignores an image name that the base does not have.
    let own = yaml(&format!("{FOLDER}/kustomization.yaml"))["images"][0].clone();
    let image = format!(
        "{}:{}",
        own["newName"].as_str().unwrap(),
        own["newTag"].as_str().unwrap()
    );
    assert_eq!(container["image"], image);
    assert_eq!(own["newTag"], env!("CARGO_PKG_VERSION"));
    let settings = &only(&objects, "ConfigMap")["data"]["wxgate.toml"];
    assert_eq!(*settings, read(&format!("{FOLDER}/wxgate.toml")));

    // Only the autoscaler sets the number of replicas.
    assert!(deployment["spec"]["replicas"].is_null());
    let scaler = &only(&objects, "HorizontalPodAutoscaler")["spec"];
    assert_eq!(scaler["scaleTargetRef"]["name"], deployment["metadata"]["name"]);
    assert_eq!(scaler["minReplicas"], 2);

    let backend = &only(&objects, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
    let services = objects.iter().filter(|object| object["kind"] == "Service");
    let service = { services }.find(|service| service["metadata"]["name"] == backend["name"]);
    let port = &service.unwrap()["spec"]["ports"][0];
    assert_eq!(port["name"], backend["port"]["name"]);
    assert_eq!(port["targetPort"], "public");

    let namespace = only(&objects, "Namespace");
    let level = &namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(level, "restricted");
    for object in objects.iter().filter(|object| object["kind"] != "Namespace") {
        assert_eq!(object["metadata"]["namespace"], namespace["metadata"]["name"]);
    }
}

#[test]
fn operator_component_is_added_by_the_documented_line() {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(project("deploy/kubernetes"))
        .arg(folder.path())
        .status();
    assert!(copied.unwrap().success());
    let example = folder.path().join("kubernetes/example");
    let file = example.join("kustomization.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("#components:", "components:")).unwrap();
    assert_eq!(
        texts(&serde_saphyr::from_str::<Value>(&std::fs::read_to_string(&file).unwrap()).unwrap()["components"]),
        ["../operator"]
    );
    let Some(objects) = built(&example) else { return };
    only(&objects, "PodMonitor");
    only(&objects, "PrometheusRule");
}
