import { t } from "../../i18n";
import { IconButton } from "../../ui/button";

/** Takes the setting `name` back to its default. */
export function ResetButton({ name, onClick }: { name: string; onClick: () => void }) {
    return <IconButton icon="undo" label={t("params.reset", { name })} onClick={onClick} />;
}
