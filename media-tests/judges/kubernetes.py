"""The schemas of Kubernetes (`kubernetes-validate` of PyPI) on manifests: each document has to be valid for every release that is named,
strictly, so that a key that no release knows is refused, too. Prints each document as a line of JSON; what is refused ends it.
Documents of others (kustomize, Compose) are only read."""
import json
import sys

import kubernetes_validate
import yaml

RELEASES = ["1.34", "1.35", "1.36", "1.37"]

for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        for document in yaml.safe_load_all(file):
            if document.get("apiVersion", "kustomize.config.k8s.io/").startswith("kustomize.config.k8s.io/"):
                print(json.dumps({"path": path, **document}))
                continue
            for release in RELEASES:
                try:
                    kubernetes_validate.validate(document, release, strict=True)
                except kubernetes_validate.ValidationError as error:
                    sys.exit(f"{path}, {document['kind']} {document['metadata']['name']}, Kubernetes {release}: {error.message} at {list(error.path)}")
            print(json.dumps({"path": path, **document}))
