/** Finds what the server refuses in a JSON schema (docs/PROTOCOL.md, "The format of the answer"). */

/** Something that the server cannot enforce, with its place as a JSON pointer. */
export interface SchemaIssue {
    kind: "keyword" | "format" | "no-schema";
    name: string;
    path: string;
}

/** What the server would refuse in `schema`: at most {@link MAX_ISSUES}. */
export function schemaIssues(schema: unknown): SchemaIssue[] {
    if (schema === true) return [];
    if (!isObject(schema)) return [{ kind: "no-schema", name: "", path: "#" }];
    const issues: SchemaIssue[] = [];
    visit(schema, "#", issues);
    return issues.slice(0, MAX_ISSUES);
}

function visit(value: unknown, path: string, issues: SchemaIssue[]): void {
    if (issues.length >= MAX_ISSUES) return;
    if (Array.isArray(value)) {
        value.forEach((item, index) => visit(item, `${path}/${index}`, issues));
    } else if (isObject(value)) {
        for (const [key, member] of Object.entries(value)) {
            visitMember(key, member, `${path}/${pointer(key)}`, issues);
        }
    }
}

function visitMember(key: string, member: unknown, path: string, issues: SchemaIssue[]): void {
    if (REFUSED.has(key)) {
        issues.push({ kind: "keyword", name: key, path });
    } else if (key === "format" && typeof member === "string" && !FORMATS.has(member)) {
        issues.push({ kind: "format", name: member, path });
    } else if (HAS_NAMES.has(key) && isObject(member)) {
        for (const [name, schema] of Object.entries(member)) {
            visit(schema, `${path}/${pointer(name)}`, issues);
        }
    } else if (!IS_DATA.has(key)) {
        visit(member, path, issues);
    }
}

function isObject(value: unknown): value is Record<string, unknown> {
    return typeof value === "object" && value !== null && !Array.isArray(value);
}

function pointer(name: string): string {
    return name.replaceAll("~", "~0").replaceAll("/", "~1");
}

/** Keywords of JSON Schema that the server cannot enforce. */
const REFUSED = new Set([
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "x-guidance",
]);

/** The formats of strings that the server knows. */
const FORMATS = new Set([
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "time",
    "unknown",
    "uri",
    "uuid",
]);

/** Keywords whose members are named by the schema's author. */
const HAS_NAMES = new Set(["$defs", "definitions", "patternProperties", "properties"]);

/** Keywords whose values are data and no schemas. */
const IS_DATA = new Set(["const", "default", "enum", "examples", "required"]);

/** Most issues that are named. */
const MAX_ISSUES = 10;
