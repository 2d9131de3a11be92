// An independent OPC UA server on node-opcua, for tests. Usage: node opcua_server.js PORT FOLDER open|strict
// Prints one line of JSON when it serves. "strict" refuses client certificates it was not told to trust.
// User "op" with password "s3cret", or anonymous. Nodes ns=1;s=Flow (a ramp), ns=1;s=Failed (BadSensorFailure).
console.log = console.error; // the library warns on standard output, which is ours
const opcua = require('node-opcua');

process.stdin.on('end', () => process.exit(0)).resume();

async function main(port, folder, mode) {
  const certificates = new opcua.OPCUACertificateManager({
    rootFolder: folder, automaticallyAcceptUnknownCertificate: mode === 'open',
  });
  await certificates.initialize();
  const server = new opcua.OPCUAServer({
    host: '127.0.0.1', hostname: 'localhost', port, serverCertificateManager: certificates, allowAnonymous: true,
    securityPolicies: ['None', 'Basic256Sha256', 'Aes256_Sha256_RsaPss'].map((name) => opcua.SecurityPolicy[name]),
    securityModes: [opcua.MessageSecurityMode.None, opcua.MessageSecurityMode.SignAndEncrypt],
    userManager: { isValidUser: (user, password) => user === 'op' && password === 's3cret' },
  });
  await server.initialize();
  const namespace = server.engine.addressSpace.getOwnNamespace();
  const add = (name) => namespace.addVariable({
    organizedBy: server.engine.addressSpace.rootFolder.objects, browseName: name, nodeId: `s=${name}`, dataType: 'Double',
  });
  const flow = add('Flow');
  add('Failed').setValueFromSource({ dataType: 'Double', value: 1 }, opcua.StatusCodes.BadSensorFailure, new Date());
  let value = 0;
  flow.setValueFromSource({ dataType: 'Double', value }, opcua.StatusCodes.Good, new Date());
  setInterval(() => {
    value += 0.5;
    flow.setValueFromSource({ dataType: 'Double', value }, opcua.StatusCodes.Good, new Date());
  }, 50);
  await server.start();
  process.stdout.write(`${JSON.stringify({ namespace: namespace.index })}\n`);
}

main(Number(process.argv[2]), process.argv[3], process.argv[4]);
