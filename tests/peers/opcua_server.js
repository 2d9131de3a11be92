// Independent OPC UA servers on node-opcua, for tests. Usage:
//   node opcua_server.js PORT FOLDER open|strict [KEY=VALUE ...] [-- PORT FOLDER ...]
// Each prints one line of JSON when it serves: its namespace, its certificate. "strict" refuses client certificates it was not
// told to trust. User "op" with password "s3cret", or anonymous; what was said at a sign-in is written to FOLDER/logins,
// the name of each request to FOLDER/requests.
// Nodes ns=1;s=Flow (a ramp), ns=1;s=Still (does not change), ns=1;s=Text, ns=1;s=Failed (BadSensorFailure).
//   many=N   more nodes, ns=1;s=M0 to M(N-1)
//   maxitems=N maxread=N   in one call   maxtotal=N   nodes in a subscription, and in all   lifetime=MS   of a token
// A line on standard input is an order, answered by a line: "drop" deletes every subscription; "forget" ends every
// session and keeps the subscriptions.
//   cert=FILE key=FILE   its own certificate in place of one it makes
//   modes=None,Sign,SignAndEncrypt   policies=None,Basic256Sha256,...   what it offers
console.log = console.error; // the library warns on standard output, which is ours
const fs = require('fs');
const readline = require('readline');
const path = require('path');

const { version } = process;
// On Node 20 the library makes a key of 4096 bits, to warn of a cipher that no test uses: seconds of processor time.
Object.defineProperty(process, 'version', { value: 'v22.0.0' });
const opcua = require('node-opcua');
Object.defineProperty(process, 'version', { value: version });

process.stdin.on('end', () => process.exit(0));
const servers = [];

readline.createInterface({ input: process.stdin }).on('line', async (order) => {
  await Promise.all(servers.map({ drop, forget }[order]));
  process.stdout.write(`${order}\n`);
});

function isValidUser(folder, user, password) {
  fs.appendFileSync(`${folder}/logins`, `${JSON.stringify([user, password])}\n`);
  return user === 'op' && password === 's3cret';
}

async function drop(server) {
  for (const session of Object.values(server.engine._sessions)) {
    for (const subscription of [...session.publishEngine.subscriptions]) {
      await session.deleteSubscription(subscription.id);
    }
  }
}

async function forget(server) {
  for (const session of Object.values(server.engine._sessions)) {
    server.engine.closeSession(session.authenticationToken, false, 'Forcing');
  }
}

function limitsOf(options) {
  const limits = { operationLimits: {} };
  if (options.maxitems) limits.operationLimits.maxMonitoredItemsPerCall = +options.maxitems;
  if (options.maxread) limits.operationLimits.maxNodesPerRead = +options.maxread;
  if (options.maxtotal) limits.maxMonitoredItems = limits.maxMonitoredItemsPerSubscription = +options.maxtotal;
  return limits;
}

let keyFile; // made by the first that needs one, and copied for the others: a key costs a third of a second

async function certificateManager(rootFolder, automaticallyAcceptUnknownCertificate) {
  const own = `${rootFolder}/own/private/private_key.pem`;
  if (keyFile) {
    fs.mkdirSync(path.dirname(own), { recursive: true });
    fs.copyFileSync(keyFile, own);
  }
  const manager = new opcua.OPCUACertificateManager({ rootFolder, automaticallyAcceptUnknownCertificate });
  await manager.initialize();
  keyFile = own;
  return manager;
}

async function main(port, folder, mode, options) {
  const certificates = await certificateManager(folder, mode === 'open');
  const users = await certificateManager(`${folder}/users`, true);
  const policies = options.policies || 'None,Basic256Sha256,Aes128_Sha256_RsaOaep,Aes256_Sha256_RsaPss';
  const modes = options.modes || 'None,Sign,SignAndEncrypt';
  const server = new opcua.OPCUAServer({
    host: '127.0.0.1', hostname: 'localhost', port, serverCertificateManager: certificates, allowAnonymous: true,
    userCertificateManager: users,
    securityPolicies: policies.split(',').map((name) => opcua.SecurityPolicy[name]),
    securityModes: modes.split(',').map((name) => opcua.MessageSecurityMode[name]),
    userManager: { isValidUser: (user, password) => isValidUser(folder, user, password) },
    serverCapabilities: limitsOf(options), defaultSecureTokenLifetime: +options.lifetime || undefined,
    ...(options.cert ? { certificateFile: options.cert, privateKeyFile: options.key } : {}),
  });
  await server.initialize();
  const namespace = server.engine.addressSpace.getOwnNamespace();
  const add = (name, dataType = 'Double') => namespace.addVariable({
    organizedBy: server.engine.addressSpace.rootFolder.objects, browseName: name, nodeId: `s=${name}`, dataType,
  });
  const set = (variable, value, status = opcua.StatusCodes.Good, dataType = 'Double') => variable.setValueFromSource(
    { dataType, value }, status, new Date(),
  );
  const flow = add('Flow');
  set(add('Failed'), 1, opcua.StatusCodes.BadSensorFailure);
  set(add('Still'), 77);
  set(add('Text', 'String'), 'twelve', opcua.StatusCodes.Good, 'String');
  for (let i = 0; i < +(options.many || 0); i += 1) set(add(`M${i}`), i);
  let value = 0;
  set(flow, value);
  setInterval(() => { value += 0.5; set(flow, value); }, 50);
  server.on('request', (request) => fs.appendFileSync(`${folder}/requests`, `${request.constructor.name}\n`));
  await server.start();
  const certificate = fs.readFileSync(server.certificateFile, 'utf8');
  process.stdout.write(`${JSON.stringify({ namespace: namespace.index, certificate })}\n`);
  servers.push(server);
}

async function all(args) {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const [port, folder, mode, ...options] = args.slice(0, end);
  await main(Number(port), folder, mode, Object.fromEntries(options.map((option) => option.split('='))));
  if (end < args.length) await all(args.slice(end + 1));
}

all(process.argv.slice(2));
