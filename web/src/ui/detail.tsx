/** What the server said, in its own words, below what the page says. */
export function Detail({ text }: { text: string }) {
    return (
        <small class="detail" lang="en" dir="auto">
            {text}
        </small>
    );
}
