/** What jsdom lacks of a browser. To be imported before the parts of the page. */

/** A connection on which nothing happens. */
class QuietSocket extends EventTarget {
    readyState = 0;
    onmessage = null;
    onclose = null;
    send(): void {}
    close(): void {}
}

globalThis.WebSocket = QuietSocket as unknown as typeof WebSocket;

globalThis.matchMedia = ((media: string) =>
    Object.assign(new EventTarget(), { matches: false, media })) as unknown as typeof matchMedia;
