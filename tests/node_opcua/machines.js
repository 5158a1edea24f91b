// Machines by the companion specifications, moved by the same truth: PackML (OPC 30050) and Machinery (OPC 40001-1).
"use strict";
const { DataType, LocalizedText, StatusCodes, Variant, VariantArrayType } = require("node-opcua");

const PACKML = "http://opcfoundation.org/UA/PackML/";
const MACHINERY = "http://opcfoundation.org/UA/Machinery/";

function machines(space, options, plant) {
  if (options.models.includes("packml")) for (const name of options.packml) packml(space, plant, name);
  if (options.models.includes("machinery")) for (const name of options.machinery) machinery(space, plant, name);
}

// --- PackML ---

function packml(space, plant, name) {
  const at = space.getNamespaceIndex(PACKML);
  const machine = space.findObjectType("PackMLBaseObjectType", at).instantiate({
    browseName: { namespaceIndex: plant.own.index, name }, nodeId: `s=PackML.${name}`, namespace: plant.own,
    organizedBy: space.rootFolder.objects, optionals: ["TagID", "PackMLVersion", "BaseStateMachine.Cleared",
      "Admin.ProdProcessedCount", "Admin.ProdDefectiveCount", "Admin.ProdConsumedCount", "Admin.MachDesignSpeed"],
  });
  const { admin, status } = machine;
  const show = (node, dataType, value, more) =>
    node.setValueFromSource(new Variant({ dataType, arrayType: VariantArrayType.Scalar, value, ...more }));
  const type = space.findDataType("PackMLCountDataType", at);
  const counts = (list) => ({
    arrayType: VariantArrayType.Array,
    value: list.map((acc, id) => space.constructExtensionObject(type, { id, name: `P${id}`, count: acc, accCount: acc })),
  });
  show(status.unitModeCurrent, DataType.Int32, 1);
  plant.adopt(`PackML.${name}.Mode`, status.unitModeCurrent, "Int32");
  if (plant.options.state_current) stateCurrent(plant, at, name, status);
  plant.states.set(`PackML.${name}.State`, (state) => packmlState(machine.baseStateMachine, at, state));
  packmlState(machine.baseStateMachine, at, "Execute");
  const count = ({ made, rejects }, first) => {
    show(admin.prodProcessedCount, DataType.ExtensionObject, null, counts([(first + made) % 2 ** 31, 0]));
    show(admin.prodDefectiveCount, DataType.ExtensionObject, null, counts([(first + rejects) % 2 ** 31]));
  };
  plant.listeners.push(count);
  count(plant.seen, plant.options.first);
}

// Not in the nodeset, but in machines that were built after ANSI/ISA-TR88.00.02: a number.
function stateCurrent(plant, at, name, status) {
  const node = plant.own.addVariable({
    browseName: { namespaceIndex: at, name: "StateCurrent" }, nodeId: `s=PackML.${name}.StateCurrent`, componentOf: status,
    dataType: "Int32", valueRank: -1,
  });
  node.setValueFromSource(new Variant({ dataType: DataType.Int32, value: 6 }));
  plant.adopt(`PackML.${name}.StateCurrent`, node, "Int32");
}

// Three machines in each other: Aborted, Aborting and Cleared are the outer one's, Running the middle one's; an inner one
// that does not run has no state.
function packmlState(base, at, wanted) {
  const machine = base.machineState;
  const execute = machine.executeState;
  const has = (one) => one.typeDefinitionObj.getComponentByName(wanted, at);
  if (has(base)) return [become(base, at, wanted), rest(machine), rest(execute)];
  become(base, at, "Cleared");
  if (has(machine)) return [become(machine, at, wanted), rest(execute)];
  return [become(machine, at, "Running"), become(execute, at, wanted)];
}

function rest(machine) {
  for (const node of [machine.currentState, machine.currentState.id]) {
    node.setValueFromSource(new Variant({ dataType: DataType.Null }), StatusCodes.BadStateNotActive);
  }
}

// Set CurrentState of a state machine: its text, its Id, and its Number where it has one.
function become(machine, at, state) {
  const node = machine.typeDefinitionObj.getComponentByName(state, at);
  if (!node) throw new Error(`${machine.browseName.name} has no state ${state}`);
  const current = machine.currentState;
  const text = new LocalizedText({ locale: "en", text: state });
  current.setValueFromSource(new Variant({ dataType: DataType.LocalizedText, value: text }));
  current.id.setValueFromSource(new Variant({ dataType: DataType.NodeId, value: node.nodeId }));
  if (!current.number) return;
  const number = node.getPropertyByName("StateNumber").readValue().value.value;
  current.number.setValueFromSource(new Variant({ dataType: DataType.UInt32, value: number }));
}

// --- Machinery ---

function machinery(space, plant, name) {
  const at = space.getNamespaceIndex(MACHINERY);
  const folder = space.findNode(`ns=${at};i=1001`);
  const own = plant.own;
  const machine = own.addObject({
    browseName: name, nodeId: `s=Machinery.${name}`, organizedBy: folder, typeDefinition: "BaseObjectType",
  });
  const blocks = own.addObject({
    browseName: { namespaceIndex: at, name: "MachineryBuildingBlocks" }, componentOf: machine, typeDefinition: "FolderType",
  });
  const made = (type, browseName) => space.findObjectType(type, at).instantiate({
    browseName: { namespaceIndex: at, name: browseName }, componentOf: blocks, namespace: own,
    optionals: ["OperationCycleCounter", "PowerOnDuration"],
  });
  const state = made("MachineryItemState_StateMachineType", "MachineryItemState");
  const mode = made("MachineryOperationModeStateMachineType", "MachineryOperationMode");
  const counters = made("MachineryOperationCounterType", "OperationCounters");
  for (const block of [state, mode, counters]) machine.addReference({ referenceType: "HasAddIn", nodeId: block.nodeId });
  for (const [key, block, first] of [["State", state, "Executing"], ["Mode", mode, "Processing"]]) {
    plant.states.set(`Machinery.${name}.${key}`, (wanted) => become(block, at, wanted));
    become(block, at, first);
  }
  const count = ({ made: parts }, first) => counters.operationCycleCounter.setValueFromSource(new Variant({
    dataType: DataType.UInt64, arrayType: VariantArrayType.Scalar,
    value: [Math.floor((first + parts) / 2 ** 32), (first + parts) % 2 ** 32],
  }));
  plant.listeners.push(count);
  count(plant.seen, plant.options.first);
}

module.exports = { machines };
