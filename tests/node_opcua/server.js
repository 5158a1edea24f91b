// A node-opcua server for the tests. Options: JSON in argv[2]; commands: a JSON line each on stdin, answered on stdout.
// It ends with its stdin, so that a test that is killed leaves none behind.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const {
  MessageSecurityMode, MonitoredItem, OPCUACertificateManager, OPCUAServer, SecurityPolicy, ServiceFault,
  StatusCodes, nodesets,
} = require("node-opcua");
const { build } = require("./nodes.js");
const { machines } = require("./machines.js");

const options = {
  port: 0, pki: "", uri: "urn:lineside:test:node-opcua", hostname: "127.0.0.1", certificate: "", key: "",
  policies: ["None"], modes: ["None"], anonymous: true, users: { edge: "s3cret" }, accept_any: true,
  max_sessions: 10, bare_session: false, max_subscriptions: 50, max_monitored_items: 0, per_read: 0, per_create: 0, per_browse: 0,
  token_ms: 0, before: 0, gone: "", flat: 0, exact: false,
  models: [], packml: ["Filler"], machinery: ["Press"], state_current: false,
  variables: 0, change_ms: 0, part_ms: 0, first: 0, truth: "", run: true, sample_ms: 50,
  ...JSON.parse(process.argv[2] || "{}"),
};
const seen = {
  session_requests: 0, sessions_created: 0, sessions_peak: 0, channels_created: 0, channels_peak: 0,
  subscriptions_created: 0, items_created: 0, publish_requests: 0, reads: 0, writes: 0,
};
const refusals = {}; // service name -> status name
const held = {}; // service name -> ms that its answer waits

function usual(wanted) {
  const chosen = wanted.map((one) => (one === "None" ? SecurityPolicy.None : SecurityPolicy[one]));
  if (chosen.includes(undefined)) throw new Error(`unknown policy among ${wanted}`);
  return chosen;
}

function managers() {
  const made = (name) => new OPCUACertificateManager({
    rootFolder: path.join(options.pki, name), automaticallyAcceptUnknownCertificate: options.accept_any,
    disableFileWatchers: true,
  });
  return { serverCertificateManager: made("server"), userCertificateManager: made("user") };
}

async function certificateOf(manager) {
  if (options.certificate) return { certificateFile: options.certificate, privateKeyFile: options.key };
  const file = path.join(options.pki, `own-${options.uri.replace(/[^a-z0-9]/gi, "_")}.pem`);
  if (!fs.existsSync(file)) {
    await manager.createSelfSignedCertificate({
      applicationUri: options.uri, subject: "/CN=node-opcua for tests", dns: ["localhost"], ip: ["127.0.0.1"],
      startDate: new Date(Date.now() - 86_400_000), validity: 365, outputFile: `${file}.new`,
    });
    fs.renameSync(`${file}.new`, file);
  }
  return { certificateFile: file, privateKeyFile: manager.privateKey };
}

function limits() {
  const operationLimits = {};
  if (options.per_read) operationLimits.maxNodesPerRead = options.per_read;
  if (options.per_create) operationLimits.maxMonitoredItemsPerCall = options.per_create;
  if (options.per_browse) operationLimits.maxNodesPerBrowse = options.per_browse;
  const capabilities = {
    maxSessions: options.max_sessions, maxSubscriptions: options.max_subscriptions,
    maxSubscriptionsPerSession: options.max_subscriptions, operationLimits,
  };
  if (options.max_monitored_items) {
    capabilities.maxMonitoredItems = capabilities.maxMonitoredItemsPerSubscription = options.max_monitored_items;
  }
  return capabilities;
}

function spy(server) {
  const wrap = (service, before) => {
    const name = `_on_${service}Request`;
    const usually = server[name].bind(server);
    server[name] = (message, channel) => {
      before(message.request);
      const go = () => (refusals[service] ? refuse(message, channel, refusals[service]) : usually(message, channel));
      if (held[service]) setTimeout(go, held[service]);
      else return go();
    };
  };
  wrap("CreateSession", () => { seen.session_requests += 1; });
  wrap("ActivateSession", () => {});
  wrap("CreateSubscription", () => {});
  wrap("CreateMonitoredItems", (request) => {
    seen.items_created += request.itemsToCreate.length;
    if (options.exact) for (const one of request.itemsToCreate) one.requestedParameters.samplingInterval = 0;
  });
  wrap("Publish", () => { seen.publish_requests += 1; });
  wrap("Republish", () => {});
  wrap("Read", () => { seen.reads += 1; });
  wrap("Write", () => { seen.writes += 1; });
  wrap("Browse", () => {});
  wrap("TranslateBrowsePathsToNodeIds", () => {});
  server.on("create_session", () => {
    seen.sessions_created += 1;
    seen.sessions_peak = Math.max(seen.sessions_peak, server.currentSessionCount);
  });
  server.on("newChannel", () => {
    seen.channels_created += 1;
    seen.channels_peak = Math.max(seen.channels_peak, server.currentChannelCount);
  });
}

// As servers do that leave their endpoints out of the answer to CreateSession.
function keepEndpoints(server) {
  const usually = server._on_CreateSessionRequest.bind(server);
  server._on_CreateSessionRequest = (message, channel) => {
    const send = channel.send_response;
    channel.send_response = (kind, response, ...more) => {
      if (response.serverEndpoints) response.serverEndpoints = [];
      return send.call(channel, kind, response, ...more);
    };
    return usually(message, channel);
  };
}

function refuse(message, channel, status) {
  const fault = new ServiceFault({ responseHeader: { serviceResult: StatusCodes[status] } });
  channel.send_response("MSG", fault, message, () => {});
}

const subscriptionsOf = (server) =>
  Object.values(server.engine._sessions).flatMap((session) => session.publishEngine.subscriptions);

function commands(server, plant) {
  const stats = () => ({
    ...seen, sessions: server.currentSessionCount, channels: server.currentChannelCount,
    subscriptions: server.engine.currentSubscriptionCount,
    subscriptions_created: server.engine.cumulatedSubscriptionCount,
    sessions_rejected: server.engine.rejectedSessionCount,
    items: subscriptionsOf(server).reduce((sum, one) => sum + one.monitoredItemCount, 0),
    rss: process.memoryUsage().rss, ...plant.truth(),
  });
  return {
    stats,
    set: ({ name, value, status, text, at }) => plant.set(name, value, status, text, at),
    get: ({ name }) => plant.get(name),
    node: ({ name }) => plant.where(name),
    run: ({ on }) => plant.run(on),
    remove: ({ names }) => plant.remove(names),
    add: ({ names, type, value }) => plant.add(names, type, value),
    refuse: ({ service, status }) => { refusals[service] = status; },
    hold: ({ service, ms }) => { held[service] = ms; },
    drop_subscriptions: () => { for (const one of subscriptionsOf(server)) one.terminate(); },
    forget_items: () => {
      for (const one of subscriptionsOf(server)) {
        for (const id of [...one.monitoredItems.keys()]) one.removeMonitoredItem(id);
      }
    },
    mute: ({ on }) => { for (const one of subscriptionsOf(server)) one.setPublishingMode(!on); },
    end_sessions: () => {
      for (const one of Object.values(server.engine._sessions)) {
        server.engine.closeSession(one.authenticationToken, true, "Terminated");
      }
    },
    trust: ({ file }) => server.serverCertificateManager.trustCertificate(der(file)),
    reject: ({ file }) => server.serverCertificateManager.rejectCertificate(der(file)),
    end: () => { setImmediate(() => end(server)); },
  };
}

function der(file) {
  const raw = fs.readFileSync(file);
  const text = raw.toString("latin1");
  if (!text.includes("-----BEGIN")) return raw;
  return Buffer.from(text.replace(/-----[^-]+-----/g, "").replace(/\s/g, ""), "base64");
}

const say = (what) => fs.writeSync(1, `${JSON.stringify(what)}\n`);

async function end(server) {
  setTimeout(() => process.exit(0), 3000).unref();
  await server.shutdown(0);
  process.exit(0);
}

function obey(server, plant) {
  const known = commands(server, plant);
  readline.createInterface({ input: process.stdin }).on("line", async (line) => {
    const command = JSON.parse(line);
    try {
      say({ id: command.id, result: (await known[command.do](command)) ?? null });
    } catch (error) {
      say({ id: command.id, error: String(error.stack || error) });
    }
  }).on("close", () => process.exit(0));
}

async function main() {
  const stores = managers();
  await Promise.all(Object.values(stores).map((one) => one.initialize()));
  MonitoredItem.minimumSamplingInterval = options.sample_ms;
  const wanted = [nodesets.standard, path.join(__dirname, "press_types.xml"), ...(options.models.includes("packml") ? [nodesets.packML] : []),
    ...(options.models.includes("machinery") ? [nodesets.di, nodesets.ia, nodesets.machinery] : [])];
  const server = new OPCUAServer({
    port: options.port, host: "127.0.0.1", hostname: options.hostname, ...stores,
    ...(await certificateOf(stores.serverCertificateManager)),
    securityPolicies: usual(options.policies), securityModes: options.modes.map((one) => MessageSecurityMode[one]),
    allowAnonymous: options.anonymous, disableDiscovery: false,
    userManager: { isValidUser: (user, password) => options.users[user] === password && password !== undefined },
    serverInfo: { applicationUri: options.uri, productUri: "urn:lineside:tests", applicationName: { text: "Tests" } },
    serverCapabilities: limits(), nodeset_filename: wanted,
    maxConnectionsPerEndpoint: 100,
    ...(options.token_ms ? { defaultSecureTokenLifetime: options.token_ms } : {}),
  });
  await server.initialize();
  if (options.bare_session) keepEndpoints(server);
  spy(server);
  const space = server.engine.addressSpace;
  for (let i = 0; i < options.before; i += 1) space.registerNamespace(`urn:filler:${i}`);
  const plant = build(space, options);
  machines(space, options, plant);
  await server.start();
  plant.run(options.run);
  process.on("SIGTERM", () => end(server));
  obey(server, plant);
  say({ ready: true, port: server.endpoints[0].port });
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
