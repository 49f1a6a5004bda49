// For node, with two workers: each answer makes some hundreds of objects and gives them back.
const cluster = require('cluster');
const http = require('http');

if (cluster.isPrimary) {
    for (let i = 0; i < 2; i++)
        cluster.fork();
    process.on('SIGTERM', () => cluster.disconnect(() => process.exit(0)));
} else {
    http.createServer((_request, response) => {
        const items = [];
        for (let number = 0; number < 100; number++)
            items.push({ number, text: String(number).repeat(8) });
        const body = Buffer.from(JSON.stringify(items));
        response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length });
        response.end(body);
    }).listen(Number(process.argv[2]), '127.0.0.1');
}
