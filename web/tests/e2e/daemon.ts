/** Servers for the tests: daemons on free ports, and scripted models. */

import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { expect } from "@playwright/test";

/** A server that runs. */
export interface Server {
    /** `http://` with its address. */
    readonly url: string;
    /** Ends it as a service manager does, and waits for that. */
    stop(): Promise<void>;
}

/** The daemon with the built-in toy model, or another one in `options`. */
export class Daemon implements Server {
    #child: ChildProcess | null = null;

    private constructor(
        readonly port: number,
        readonly options: readonly string[],
    ) {}

    /** Starts a daemon with options of the command line, and waits until it is ready. */
    static async start(options: readonly string[] = []): Promise<Daemon> {
        const daemon = new Daemon(await freePort(), options);
        await daemon.start();
        return daemon;
    }

    get url(): string {
        return `http://127.0.0.1:${this.port}`;
    }

    /** Starts it again, on the same port. */
    async start(): Promise<void> {
        const model = this.options.includes("--model") ? [] : ["--demo"];
        this.#child = run(binary("INFERENCE_CORE_BIN"), [
            ...model,
            ...this.options,
            String(this.port),
        ]);
        await ready(this.url, this.#child);
    }

    async stop(): Promise<void> {
        const child = this.#child;
        this.#child = null;
        if (child) await end(child, "SIGTERM");
    }

    /** Ends it without a word, as a loss of power does. */
    async kill(): Promise<void> {
        const child = this.#child;
        this.#child = null;
        if (child) await end(child, "SIGKILL");
    }

    /** Kills the process of the model, as the system does when memory is short. */
    killRunner(): void {
        const runners = childrenOf(this.#child?.pid ?? -1);
        if (runners.length === 0) throw new Error("the daemon has no process for its model");
        for (const pid of runners) process.kill(pid, "SIGKILL");
    }
}

/** A server whose model answers `say TEXT` with TEXT (examples/scripted.rs). */
export async function startScripted(): Promise<Server> {
    const child = run(binary("SCRIPTED_BIN"), []);
    const [line] = (await once(createInterface(child.stdout!), "line")) as [string];
    const url = `http://${line.replace("listening on ", "")}`;
    await ready(url, child);
    return { url, stop: () => end(child, "SIGTERM") };
}

/** A file with API keys. */
export class KeyFile {
    readonly #folder = mkdtempSync(join(tmpdir(), "inference-core-web-"));
    readonly path = join(this.#folder, "keys.toml");
    /** A key with the rights that keys have if nothing is said. */
    readonly key = this.add("web", "infer,metrics");

    /** Adds a key with these rights, and returns it. */
    add(name: string, rights: string): string {
        const options = ["--rights", rights, "--file", this.path];
        const made = spawnSync(binary("INFERENCE_CORE_BIN"), ["key", "new", name, ...options], {
            encoding: "utf8",
        });
        return made.stdout.trim();
    }

    remove(): void {
        rmSync(this.#folder, { recursive: true });
    }
}

/** Runs `vite preview` for the page of a daemon that does not serve it itself. */
export async function startPreview(daemon: string): Promise<Server> {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const vite = join("node_modules", "vite", "bin", "vite.js");
    const address = ["--host", "127.0.0.1", "--port", String(port), "--strictPort"];
    const child = run(process.execPath, [vite, "preview", ...address], { INFERENCE_CORE: daemon });
    await expect.poll(() => answers(url), { timeout: START_MS }).toBe(true);
    return { url, stop: () => end(child, "SIGTERM") };
}

/** Starts a program whose faults go to the terminal. */
function run(program: string, options: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    return spawn(program, options, {
        stdio: ["ignore", "pipe", "inherit"],
        env: { ...process.env, ...env },
    });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
}

/** The program to test: that of `make web-tests`, unless a variable names another one. */
function binary(variable: keyof typeof BINARIES): string {
    return process.env[variable] ?? join("..", "target", "debug", BINARIES[variable]);
}

/** Waits until the server at `url` is ready; fails if its process ends before. */
function ready(url: string, child: ChildProcess): Promise<void> {
    const isReady = () => {
        if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
        return answers(`${url}/readyz`);
    };
    return expect.poll(isReady, { timeout: START_MS }).toBe(true);
}

function answers(url: string): Promise<boolean> {
    return fetch(url).then(
        (response) => response.ok,
        () => false,
    );
}

async function freePort(): Promise<number> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    return port;
}

/** The processes whose parent is `pid`. */
function childrenOf(pid: number): number[] {
    return readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
        .map(Number);
}

/** The parent of a process; `null` if it has ended. */
function parentOf(pid: string): number | null {
    try {
        // The name of the program, in brackets, may have spaces and brackets itself.
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    } catch {
        return null;
    }
}

const BINARIES = {
    INFERENCE_CORE_BIN: "inference-core",
    SCRIPTED_BIN: join("examples", "scripted"),
};

/** How long a server may take to start. */
const START_MS = 30_000;
