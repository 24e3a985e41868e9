import { t } from "../i18n";
import { Dialog } from "../ui/dialog";
import { shortcuts } from "../ui/shortcuts";

/** All keyboard shortcuts of what is shown. */
export function ShortcutList({ onClose }: { onClose: () => void }) {
    return (
        <Dialog title={t("shortcuts.title")} onClose={onClose}>
            <dl class="shortcuts">
                {shortcuts.value.map(({ keys, label }) => (
                    <div key={keys}>
                        <dt>
                            {keys.split("+").map((key) => (
                                <kbd key={key}>{NAMES[key] ?? key.toUpperCase()}</kbd>
                            ))}
                        </dt>
                        <dd>{t(label)}</dd>
                    </div>
                ))}
            </dl>
        </Dialog>
    );
}

/** How keys are written on a keyboard. */
const NAMES: Record<string, string> = {
    Alt: "Alt",
    ArrowDown: "↓",
    ArrowUp: "↑",
    Ctrl: "Ctrl",
    Enter: "Enter",
    Escape: "Esc",
    Shift: "Shift",
};
