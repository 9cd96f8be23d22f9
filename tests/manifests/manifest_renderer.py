"""What `kustomize build` makes of a directory, as far as `manifests/` goes.

A double: Debian 12 has no kustomize that knows components. It knows the features that the manifests use and
refuses all others; `test_manifests_in_kustomize.py` compares it with the real one.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
LOCAL = "config.kubernetes.io/local-config"
CLUSTER_SCOPED = {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "Namespace", "Plugin"}


class NotKnown(Exception):
    """The manifests use something that this renderer does not do, or that kustomize refuses."""


class OnceOnly(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, where PyYAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise NotKnown(f"a key stands twice: {node.start_mark}")
        return super().construct_mapping(node, deep)


def kustomizations() -> list[Path]:
    """Directories that can be applied; components cannot."""
    files = [*sorted((ROOT / "manifests").rglob("kustomization.yaml")), ROOT / "hooks" / "kustomization.yaml"]
    return [file.parent for file in files if read(file)[0]["kind"] == "Kustomization"]


def read(file: Path) -> list[Any]:
    """The documents of a YAML file that say something."""
    return [each for each in yaml.load_all(file.read_text(), OnceOnly) if each is not None]


def render(directory: Path) -> list[Object]:
    """The objects that would be applied."""
    objects: list[Object] = []
    _accumulate(directory, "Kustomization", objects)
    return [each for each in objects if LOCAL not in (each["metadata"].get("annotations") or {})]


def identity(each: Object) -> tuple[str, str, str]:
    """Whose name it is that may be there once."""
    return each["apiVersion"].split("/")[0], each["kind"], each["metadata"]["name"]


def _accumulate(directory: Path, kind: str, objects: list[Object]) -> None:
    (found,) = read(directory / "kustomization.yaml")
    said = dict(found)
    versions = {"Kustomization": "v1beta1", "Component": "v1alpha1"}
    if (said.pop("apiVersion"), said.pop("kind")) != (f"kustomize.config.k8s.io/{versions[kind]}", kind):
        raise NotKnown(f"{directory} is no {kind}")
    for path in said.pop("resources", []):
        _add(directory / path, objects)
    # kustomize's own order: what comes from outside, then components, then its own changes
    generated = _generated(directory, said.pop("configMapGenerator", []), said.pop("generatorOptions", {}))
    _extend(objects, generated)
    for path in said.pop("components", []):
        _accumulate((directory / path).resolve(), "Component", objects)
    for patch in said.pop("patches", []):
        _patch(directory, dict(patch), objects)
    if "namespace" in said:
        _set_namespace(said.pop("namespace"), objects)
    for image in said.pop("images", []):
        _set_image(dict(image), objects)
    for replacement in said.pop("replacements", []):
        _replace(dict(replacement), objects)
    if said:
        raise NotKnown(f"{directory}: {', '.join(said)}")


def _add(path: Path, objects: list[Object]) -> None:
    if path.is_dir():
        nested: list[Object] = []
        _accumulate(path.resolve(), "Kustomization", nested)
        _extend(objects, nested)
    else:
        _extend(objects, read(path))


def _extend(objects: list[Object], more: list[Object]) -> None:
    for each in more:
        if identity(each) in map(identity, objects):
            raise NotKnown(f"{identity(each)} is there twice")
        objects.append(each)


def _generated(directory: Path, maps: list[Object], options: Object) -> list[Object]:
    if maps and options != {"disableNameSuffixHash": True}:
        raise NotKnown(f"{directory}: generatorOptions other than disableNameSuffixHash: true")
    made = []
    for each in maps:
        if each.keys() != {"name", "files"} or any("/" in name or "=" in name for name in each["files"]):
            raise NotKnown(f"{directory}: configMapGenerator with more than files of its own directory")
        data = {name: (directory / name).read_text() for name in each["files"]}
        metadata = {"name": each["name"]}
        made.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    return made


def _patch(directory: Path, said: Object, objects: list[Object]) -> None:
    text = (directory / said.pop("path")).read_text() if "path" in said else said.pop("patch")
    target = said.pop("target", None)
    if said:
        raise NotKnown(f"{directory}: patches with {', '.join(said)}")
    patch = yaml.load(text, OnceOnly)
    if isinstance(patch, dict):
        if target is not None or not patch["apiVersion"].startswith("kubevirt.io/"):
            raise NotKnown(f"{directory}: a merge patch with a target, or of what has lists to merge")
        (chosen,) = [each for each in objects if identity(each) == identity(patch)]
        _merge(chosen, patch)
        return
    for each in _chosen(target, objects):
        for operation in patch:
            _operate(each, operation)


def _chosen(target: Object, objects: list[Object]) -> Iterator[Object]:
    if unknown := target.keys() - {"kind", "name", "labelSelector"}:
        raise NotKnown(f"a target by {', '.join(unknown)}")
    label, _, value = target.get("labelSelector", "").partition("=")
    for each in objects:
        labels = each["metadata"].get("labels") or {}
        if (
            each["kind"] == target["kind"]
            and each["metadata"]["name"] == target.get("name", each["metadata"]["name"])
            and (not label or labels.get(label) == value)
        ):
            yield each


def _merge(into: Object, patch: Object) -> None:
    """RFC 7386, as kustomize does it for objects that it has no schema of."""
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _operate(document: Object, operation: Object) -> None:
    """RFC 6902 `add`."""
    if operation["op"] != "add":
        raise NotKnown(f"the operation {operation['op']}")
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    place: Any = document
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    value = copy.deepcopy(operation["value"])
    if isinstance(place, list):
        place.insert(len(place) if last == "-" else int(last), value)
    else:
        place[last] = value


def _set_namespace(namespace: str, objects: list[Object]) -> None:
    accounts = {each["metadata"]["name"] for each in objects if each["kind"] == "ServiceAccount"}
    for each in objects:
        if each["kind"] not in CLUSTER_SCOPED:
            each["metadata"]["namespace"] = namespace
        for subject in each.get("subjects", []):
            if subject["kind"] == "ServiceAccount" and subject["name"] in accounts:
                subject["namespace"] = namespace


def _set_image(said: Object, objects: list[Object]) -> None:
    name, new = said.pop("name"), f"{said.pop('newName')}:{said.pop('newTag')}"
    if said:
        raise NotKnown(f"images with {', '.join(said)}")
    for each in objects:
        for container in pod_spec(each).get("containers", []):
            if container["image"] == name:
                container["image"] = new


def pod_spec(each: Object) -> Object:
    """Of an object of Kubernetes' own that makes pods; empty for others."""
    spec: Object = {}
    if each["kind"] == "Job":
        spec = each["spec"]["template"]["spec"]
    return spec


def _replace(said: Object, objects: list[Object]) -> None:
    source = dict(said["source"])
    path = source.pop("fieldPath")
    (origin,) = _chosen(source, objects)
    ((holder, key),) = _places(origin, path)
    for target in said["targets"]:
        options = target.get("options", {})
        if options.keys() not in (set(), {"delimiter", "index"}) or target.keys() - {
            "select",
            "fieldPaths",
            "options",
        }:
            raise NotKnown(f"a replacement with {options}")
        for each in _chosen(target["select"], objects):
            for path in target["fieldPaths"]:
                places = _places(each, path)
                if not places:
                    raise NotKnown(f"{identity(each)} has no {path}")
                for place, name in places:
                    value = holder[key]
                    if options:
                        parts = place[name].split(options["delimiter"])
                        parts[options["index"]] = value
                        value = options["delimiter"].join(parts)
                    place[name] = value


def _places(document: Object, path: str) -> list[tuple[Any, str]]:
    """Where a field path of kustomize leads: what holds the field, and its name."""
    parts, depth = [""], 0
    for letter in path:
        depth += (letter == "[") - (letter == "]")
        if letter == "." and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    found: list[Any] = [document]
    for number, part in enumerate(parts, 1):
        name, is_match, value = part.strip("[]").partition("=")
        if is_match:
            found = [item for each in found for item in each if item.get(name) == value]
            continue
        found = [each for each in found if name in each]
        if number < len(parts):
            found = [each[name] for each in found]
    return [(each, parts[-1].strip("[]")) for each in found]
