// The plain variables of the test server, and the plant that moves them. Namespace "urn:acme:press".
"use strict";
const fs = require("node:fs");
const {
  DataType, LocalizedText, StatusCodes, Variant, VariantArrayType, coerceNodeId, makeAccessLevelFlag,
} = require("node-opcua");

const NAMESPACE = "urn:acme:press";
const WRITABLE = makeAccessLevelFlag("CurrentRead | CurrentWrite");
const READABLE = makeAccessLevelFlag("CurrentRead");

// name: [data type, value, more]; "more" may have rank (arrays), status, writable, dimensions.
const PLAIN = {
  "Scalar.Boolean": ["Boolean", true], "Scalar.SByte": ["SByte", -5], "Scalar.Byte": ["Byte", 200],
  "Scalar.Int16": ["Int16", -30000], "Scalar.UInt16": ["UInt16", 60000], "Scalar.Int32": ["Int32", -2000000000],
  "Scalar.UInt32": ["UInt32", 4000000000], "Scalar.Int64": ["Int64", [0x7fffffff, 0xffffffff]],
  "Scalar.UInt64": ["UInt64", [0xffffffff, 0xffffffff]], "Scalar.Float": ["Float", 1.5], "Scalar.Double": ["Double", 2.25],
  "Scalar.String": ["String", "Grüße"], "Scalar.NullString": ["String", null],
  "Scalar.DateTime": ["DateTime", new Date(Date.UTC(2026, 4, 4, 6, 12, 9, 412))],
  "Scalar.Guid": ["Guid", "72962b91-fa75-4ae6-8d28-b404dc7daf63"], "Scalar.ByteString": ["ByteString", Buffer.from("0102ff", "hex")],
  "Scalar.LocalizedText": ["LocalizedText", { locale: "de", text: "Läuft" }],
  "Scalar.QualifiedName": ["QualifiedName", { namespaceIndex: 1, name: "Teil" }],
  "Scalar.NodeId": ["NodeId", "ns=0;i=85"], "Scalar.StatusCode": ["StatusCode", StatusCodes.BadDeviceFailure],
  "Scalar.NaN": ["Double", NaN], "Scalar.Infinity": ["Float", Infinity],
  "Array.Int32": ["Int32", [10, 20, 30, 40], { rank: 1 }], "Array.Double": ["Double", [0.5, 1.5], { rank: 1 }],
  "Array.String": ["String", ["a", null, "c"], { rank: 1 }], "Array.Empty": ["UInt16", [], { rank: 1 }],
  "Array.Matrix": ["Float", [1, 2, 3, 4, 5, 6], { rank: 2, dimensions: [2, 3] }],
  "Odd.Bad": ["Int32", 0, { status: "BadDeviceFailure" }], "Odd.Uncertain": ["Int32", 7, { status: "UncertainLastUsableValue" }],
  "Odd.ReadOnly": ["Int32", 3], "Odd.Slash/Name": ["Int32", 1], "Odd.Empty": ["Null", null],
  "Write.Order": ["String", "", { writable: true }], "Write.Release": ["Boolean", false, { writable: true }],
  "Write.Hold": ["Int16", 0, { writable: true }], "Write.Number": ["UInt32", 0, { writable: true }],
  "Write.Real": ["Float", 0, { writable: true }], "State": ["Int32", 6], "Mode": ["Int32", 1], "Running": ["Boolean", true],
};
const COUNTS = {
  "Count.Total": ["UInt32", (t, f) => (f + t.made) % 2 ** 32], "Count.Good": ["UInt32", (t, f) => (f + t.made - t.rejects) % 2 ** 32],
  "Count.Reject": ["UInt32", (t, f) => (f + t.rejects) % 2 ** 32], "Count.Word": ["UInt16", (t, f) => (f + t.made) % 2 ** 16],
  "Count.Signed": ["Int32", (t, f) => (f + t.made) % 2 ** 31], "Count.Long": ["UInt64", (t, f) => long(f + t.made)],
};
const long = (whole) => [Math.floor(whole / 2 ** 32), whole % 2 ** 32];

class Plant {
  constructor(space, options) {
    this.space = space;
    this.options = options;
    this.own = space.registerNamespace(NAMESPACE);
    this.folders = new Map([["", space.rootFolder.objects]]);
    this.nodes = new Map();
    this.makers = new Map();
    this.latest = new Map();
    this.states = new Map(); // of state machines: name to what sets the state by its name
    this.counts = [];
    this.fast = [];
    this.listeners = [];
    this.timers = [];
    this.seen = { made: 0, rejects: 0, tick: 0 };
    this.file = options.truth ? fs.openSync(options.truth, fs.constants.O_RDWR | fs.constants.O_CREAT) : null;
    this.remember();
  }

  remember() {
    if (this.file === null) return;
    const [made, rejects, tick] = fs.readFileSync(this.file, "latin1").trim().split(/\s+/).map(Number);
    if (tick !== undefined) this.seen = { made, rejects, tick };
  }

  keep() { // before a client can see it: a kill then takes nothing back that was shown
    if (this.file === null) return;
    const { made, rejects, tick } = this.seen;
    fs.writeSync(this.file, `${[made, rejects, tick].map((one) => String(one).padStart(20)).join(" ")}\n`, 0);
  }

  folder(name) {
    if (!this.folders.has(name)) this.folders.set(name, this.own.addObject({
      browseName: name, nodeId: `s=${name}`, organizedBy: this.folders.get(""), typeDefinition: "FolderType",
    }));
    return this.folders.get(name);
  }

  variable(name, type, value, more = {}) {
    const cut = name.indexOf(".");
    const flat = cut < 0;
    const node = this.own.addVariable({
      browseName: flat ? name : name.slice(cut + 1), nodeId: `s=${name}`,
      dataType: more.dataType || DataType[type] || "BaseDataType", minimumSamplingInterval: 0,
      ...(more.rank ? { valueRank: more.rank, arrayDimensions: more.dimensions || [0] } : { valueRank: -1 }),
      ...(flat ? { organizedBy: this.folder("Press") } : { componentOf: this.folder(name.slice(0, cut)) }),
      accessLevel: more.writable ? WRITABLE : READABLE, userAccessLevel: more.writable ? WRITABLE : READABLE,
    });
    this.nodes.set(name, { node, type, rank: more.rank || 0, dimensions: more.dimensions });
    this.makers.set(name, () => this.variable(name, type, this.latest.get(name) ?? value, more));
    if (type !== "Null") this.put(name, value, StatusCodes[more.status || "Good"]);
    return node;
  }

  adopt(name, node, type) {
    this.nodes.set(name, { node, type, rank: 0 });
  }

  put(name, value, status = StatusCodes.Good, at = new Date()) {
    this.latest.set(name, value);
    const known = this.nodes.get(name);
    if (known) known.node.setValueFromSource(this.variant(known, value), status, at);
  }

  variant({ type, rank, dimensions }, value) {
    const dataType = DataType[type];
    if (value instanceof Variant) return value;
    if (rank === 2) return new Variant({ dataType, arrayType: VariantArrayType.Matrix, dimensions, value });
    if (rank === 1) return new Variant({ dataType, arrayType: VariantArrayType.Array, value });
    let given = value;
    if (type === "NodeId") given = coerceNodeId(value);
    if (type === "LocalizedText") given = new LocalizedText(typeof value === "string" ? { text: value } : value);
    if (type === "DateTime" && typeof value === "string") given = new Date(value);
    if (type === "ByteString" && typeof value === "string") given = Buffer.from(value, "hex");
    return new Variant({ dataType, arrayType: VariantArrayType.Scalar, value: given });
  }

  // --- what a test asks for ---

  set(name, value, status, type, at) {
    if (this.states.has(name)) {
      this.states.get(name)(value);
      return;
    }
    if (!this.nodes.has(name)) throw new Error(`no node ${name}`);
    if (type) this.nodes.get(name).type = type;
    this.put(name, value, StatusCodes[status || "Good"], at ? new Date(at) : new Date());
  }

  get(name) {
    const data = this.nodes.get(name).node.readValue();
    return { value: data.value.value, type: DataType[data.value.dataType], status: data.statusCode.name };
  }

  where(name) {
    return this.nodes.get(name).node.nodeId.toString();
  }

  remove(names) {
    for (const name of names) {
      if (this.nodes.has(name)) this.space.deleteNode(this.nodes.get(name).node);
      this.nodes.delete(name);
    }
  }

  add(names, type, value) { // with a type: as a program that was changed has it
    for (const name of names) {
      if (this.nodes.has(name)) continue;
      if (type) this.variable(name, type, value);
      else this.makers.get(name)();
    }
  }

  truth() {
    return { ...this.seen };
  }

  run(on) {
    for (const one of this.timers) clearInterval(one);
    this.timers = [];
    if (!on) return;
    if (this.options.part_ms) this.timers.push(setInterval(() => this.part(), this.options.part_ms));
    if (this.options.change_ms) this.timers.push(setInterval(() => this.change(), this.options.change_ms));
  }

  part() {
    this.seen.made += 1;
    if (this.seen.made % 10 === 0) this.seen.rejects += 1;
    this.keep();
    this.show();
  }

  show() {
    for (const [name, worth] of this.counts) this.put(name, worth(this.seen, this.options.first));
    for (const told of this.listeners) told(this.seen, this.options.first);
  }

  change() { // every variable takes the number of this tick
    this.seen.tick += 1;
    this.keep();
    const at = new Date();
    const value = new Variant({ dataType: DataType.UInt32, value: this.seen.tick });
    for (const node of this.fast) node.setValueFromSource(value, StatusCodes.Good, at);
  }
}

function build(space, options) {
  const plant = new Plant(space, options);
  const all = { ...PLAIN };
  for (const [name, [type, worth]] of Object.entries(COUNTS)) {
    plant.counts.push([name, worth]);
    all[name] = [type, worth(plant.seen, options.first)];
  }
  for (const [name, [type, value, more]] of Object.entries(all)) plant.variable(name, type, value, more);
  for (let i = 0; i < options.variables; i += 1) {
    plant.variable(`Fast.V${i}`, "UInt32", plant.seen.tick);
    plant.fast.push(plant.nodes.get(`Fast.V${i}`).node);
  }
  typed(plant);
  for (let i = 0; i < options.flat; i += 1) plant.variable(`Flat.N${i}`, "Int16", i % 30000);
  const names = [...plant.nodes.keys()];
  if (options.gone === "odd") plant.remove(names.filter((name, i) => i % 2 === 1 && !name.startsWith("Count")));
  else if (options.gone) plant.remove(options.gone.split(","));
  plant.fast = plant.fast.filter((node) => space.findNode(node.nodeId));
  return plant;
}

// Enumerations (one by EnumValues, one by EnumStrings) and structures, of press_types.xml.
function typed(plant) {
  const types = plant.space.getNamespaceIndex("urn:acme:press:types");
  const type = (name) => plant.space.findDataType(name, types);
  plant.variable("Enum.State", "Int32", 5, { dataType: type("PressState") });
  plant.variable("Enum.Mode", "Int32", 2, { dataType: type("PressMode") });
  const make = (name, fields) => plant.space.constructExtensionObject(type(name), fields);
  const count = (total) => make("CountType", { total, unit: "pcs" });
  const put = (name, dataType, value, rank) => plant.variable(name, "ExtensionObject", value, { dataType: type(dataType), rank });
  put("Struct.Cycle", "CycleType", make("CycleType", {
    number: 77, force: 12.5, name: "M8", good: true, points: [1, 2, 3], count: count(5), counts: [count(6), count(7)], state: 9,
    text: new LocalizedText({ text: "gut" }), at: new Date(Date.UTC(2026, 4, 4)),
  }));
  put("Struct.Counts", "CountType", [count(1), count(2), count(3)], 1);
  put("Struct.Optional", "OptionalType", make("OptionalType", { always: 1, sometimes: 2.5 }));
  put("Struct.Choice", "ChoiceType", make("ChoiceType", { real: 4.5 }));
  plant.listeners.push((truth) => plant.put("Struct.Counts", [count(truth.made), count(truth.rejects), count(truth.tick)]));
}

module.exports = { build, NAMESPACE };
