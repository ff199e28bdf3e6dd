"""Calls as botocore's models of EC2 and STS have them.

Reads recorded calls from standard input, a JSON list of {service, form, status, headers, body}, and writes a list of the same length:
{problems, decoded, error}: what is wrong with the request and the answer, and what botocore's own parser makes of the answer.
The parser forgives; the walk over the answer here does not: each element has a place in the model, and each text is of its type.
"""

import datetime
import json
import re
import sys
import xml.etree.ElementTree

import botocore.parsers
import botocore.session

SESSION = botocore.session.get_session()

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
TEXTS = {
    "boolean": re.compile(r"true|false"),
    "integer": re.compile(r"-?\d+"),
    "long": re.compile(r"-?\d+"),
    "double": re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?"),
    "float": re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?"),
    "timestamp": TIME,
}


def scalar(shape, text):
    """Says what is wrong with the text of a value, or nothing."""
    pattern = TEXTS.get(shape.type_name)
    if pattern:
        if not pattern.fullmatch(text):
            return f"{text!r} is no {shape.type_name}"
        if shape.type_name not in ("integer", "long"):
            return None
    elif shape.type_name != "string":
        return f"a {shape.type_name} cannot be a text"
    allowed = shape.metadata.get("enum")
    if allowed and text not in allowed:
        return f"{text!r} is none of {allowed}"
    size = len(text) if shape.type_name == "string" else int(text)
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low or high is not None and size > high:
        return f"{text!r} is not within {low}..{high}"
    return None


class Request:
    """The parameters of one request, taken by the rules of the service's protocol; what nobody took is unknown."""

    def __init__(self, model, operation, form):
        self.ec2 = model.metadata["protocol"] == "ec2"
        self.left = {name: values for name, values in form.items() if name not in ("Action", "Version")}
        self.problems = []
        if form.get("Version") != [model.metadata["apiVersion"]]:
            self.problems.append(f"Version is {form.get('Version')}")
        if operation.input_shape is not None:
            self.structure(operation.input_shape, "")
        self.problems += [f"{name} is unknown to {operation.name}" for name in sorted(self.left)]

    def name(self, member, shape):
        """The EC2 protocol: queryName, else locationName with a capital, else the member's name. The query protocol: as they are."""
        at = shape.serialization
        if not self.ec2:
            return at.get("name", member)
        if "queryName" in at:
            return at["queryName"]
        return at["name"][0].upper() + at["name"][1:] if "name" in at else member

    def structure(self, shape, prefix):
        for member, inner in shape.members.items():
            path = prefix + self.name(member, inner)
            there = any(name == path or name.startswith(path + ".") for name in self.left)
            if there:
                self.value(inner, path)
            elif member in shape.required_members:
                self.problems.append(f"{path} is missing")

    def value(self, shape, path):
        if shape.type_name == "structure":
            self.structure(shape, path + ".")
        elif shape.type_name == "list":
            prefix = path if self.ec2 or shape.serialization.get("flattened") else path + ".member"
            numbers = {m[1] for name in self.left if (m := re.match(re.escape(prefix) + r"\.(\d+)(?=\.|$)", name))}
            if numbers != {str(n + 1) for n in range(len(numbers))}:
                self.problems.append(f"{path} is numbered {sorted(numbers)}, not from 1 on")
            for number in sorted(numbers, key=int):
                self.value(shape.member, f"{prefix}.{number}")
        else:
            values = self.left.pop(path, None)
            if values is None:
                return  # members of something that has none: they stay unknown
            if len(values) != 1:
                self.problems.append(f"{path} is there {len(values)} times")
            elif wrong := scalar(shape, values[0]):
                self.problems.append(f"{path}: {wrong}")


class Answer:
    """The elements of one answer, held against the output's shape."""

    def __init__(self, model, operation, status, body):
        self.problems = []
        root = xml.etree.ElementTree.fromstring(body)
        self.space = "{%s}" % (model.metadata["xmlNamespace"].rstrip("/") + "/")
        if status >= 300:
            self.error(root, model.metadata["protocol"] == "ec2")
            return
        self.expect(root, operation.name + "Response")
        wrapper = operation.output_shape and operation.output_shape.serialization.get("resultWrapper")
        beside = {"requestId"}
        if operation.output_shape is None:  # the model has no member for what EC2 then says
            beside.add("return")
            if root.findtext(self.space + "return") != "true":
                self.problems.append("return is not true")
        if wrapper:
            beside = {"ResponseMetadata"}
            result = [e for e in root if self.local(e) == wrapper]
            if [self.local(e) for e in root] != [wrapper, "ResponseMetadata"] or not root[1].findtext(self.space + "RequestId"):
                self.problems.append(f"the answer has {[self.local(e) for e in root]}")
            root = result[0] if result else root
        elif not root.findtext(self.space + "requestId"):
            self.problems.append("no requestId")
        self.structure(operation.output_shape, root, beside)

    def local(self, element):
        if not element.tag.startswith(self.space):
            self.problems.append(f"{element.tag} is not in {self.space}")
        return element.tag.rpartition("}")[2]

    def expect(self, element, name):
        if self.local(element) != name:
            self.problems.append(f"the root is {element.tag}, not {name}")
        if element.attrib:
            self.problems.append(f"{element.tag} has attributes")

    def structure(self, shape, element, beside=frozenset()):
        if element.text and element.text.strip():
            self.problems.append(f"{element.tag} has the text {element.text!r}")
        members = {inner.serialization.get("name", member): inner for member, inner in shape.members.items()} if shape else {}
        seen = set()
        for child in element:
            name = self.local(child)
            if name in seen:
                self.problems.append(f"{name} is there twice")
            seen.add(name)
            if name in members:
                self.value(members[name], child)
            elif name not in beside:
                self.problems.append(f"{name} is unknown to {shape and shape.name}")

    def value(self, shape, element):
        if element.attrib:
            self.problems.append(f"{element.tag} has attributes")
        if shape.type_name == "structure":
            self.structure(shape, element)
        elif shape.type_name == "list":
            item = shape.member.serialization.get("name", "member")
            for child in element:
                if self.local(child) != item:
                    self.problems.append(f"{child.tag} in a list of {item}")
                self.value(shape.member, child)
        elif len(element):
            self.problems.append(f"{element.tag} has elements, but is a {shape.type_name}")
        elif wrong := scalar(shape, element.text or ""):
            self.problems.append(f"{self.local(element)}: {wrong}")

    def error(self, root, ec2):
        """Errors have no namespace, and the id of the request is spelt otherwise than in answers that went well."""
        if not ec2:
            self.expect(root, "ErrorResponse")
            shape = [(e.tag.rpartition("}")[2], [c.tag.rpartition("}")[2] for c in e]) for e in root]
            if shape != [("Error", ["Type", "Code", "Message"]), ("RequestId", [])]:
                self.problems.append(f"the error is {shape}")
            return
        shape = [(e.tag, [(c.tag, [d.tag for d in c]) for c in e]) for e in root]
        if root.tag != "Response" or shape != [("Errors", [("Error", ["Code", "Message"])]), ("RequestID", [])]:
            self.problems.append(f"the error is {root.tag} of {shape}")


def plain(value):
    """JSON of what botocore decoded, with times in UTC."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    raise TypeError(f"{value!r} in an answer")


def check(call):
    model = SESSION.get_service_model(call["service"])
    name = call["form"]["Action"][0]
    if name not in model.operation_names:
        return {"problems": [f"there is no operation {name}"]}
    operation = model.operation_model(name)
    problems = [f"request: {p}" for p in Request(model, operation, call["form"]).problems]
    if call.get("body") is None:
        return {"problems": problems}
    problems += [f"answer: {p}" for p in Answer(model, operation, call["status"], call["body"]).problems]
    parser = botocore.parsers.create_parser(model.metadata["protocol"])
    response = {"status_code": call["status"], "headers": call["headers"], "body": call["body"].encode()}
    try:
        decoded = parser.parse(response, operation.output_shape)
    except Exception as failed:  # what botocore makes of a bad answer, and it makes many things of it
        return {"problems": problems + [f"answer: botocore cannot read it: {failed}"]}
    metadata = decoded.pop("ResponseMetadata")
    if not metadata.get("RequestId"):
        problems.append("answer: botocore finds no id of the request")
    return {"problems": problems, "decoded": decoded, "error": decoded.get("Error")}


json.dump([check(call) for call in json.load(sys.stdin)], sys.stdout, default=plain)
