// What an app might do to the tables of these histories, drawn at random: few keys and few values, so that devices meet.
// Left out is what no protocol cures: a key that replaces a live one. Used by `history`.

const pick = (dice, list) => list[dice.below(list.length)];

const BODY = ["NULL", "'a'", "'b'", "''", "5", "9223372036854775807", "-9223372036854775808", "1.5", "x''", "x'00ff'", "'ä\"\\'", "9007199254740993"];
const SIZE = ["NULL", "5", "7.5", "-0.0", "9e999", "1e300", "-2"];
const N = ["0", "7", "-1", "1700000000000", "9007199254740993"];
const LATE = ["NULL", "'late'", "5", "'later'"];
const LOOSE = ["NULL", "5", "4.5", "'5'", "x'35'", "''"];
const IDS = ["1", "2", "-1", "9007199254740993"];
const TAGS = [["'x'", "1"], ["'x'", "'1'"], ["'y'", "x'31'"], ["''", "''"]];
const KEYS = ["1", "'1'", "x'31'"];

/** What an app does in one go, for a database of that schema. */
export function write(dice, isOld) {
  const kinds = { notes: 7, tags: 2, ...(!isOld && { loose: 2 }) };
  const table = pick(dice, Object.entries(kinds).flatMap(([name, weight]) => Array(weight).fill(name)));
  return tables[table](dice, isOld);
}

const setting = (dice, columns) => {
  const [name, values] = pick(dice, Object.entries(columns));
  return `${name} = ${pick(dice, values)}`;
};
const insert = (table, names, values, key) => `INSERT INTO ${table} (${names}) SELECT ${values} WHERE NOT EXISTS (SELECT 1 FROM ${table} WHERE ${key})`;
const move = (table, to, from, taken) => `UPDATE ${table} SET ${to} WHERE ${from} AND NOT EXISTS (SELECT 1 FROM ${table} WHERE ${taken})`;

const tables = {
  notes(dice, isOld) {
    const [id, other] = [pick(dice, IDS), pick(dice, IDS)];
    const columns = { body: BODY, size: SIZE, n: N, ...(!isOld && { late: LATE }) };
    const names = Object.keys(columns).filter(() => dice.chance(70));
    const inserting = insert("notes", ["id", ...names], [id, ...names.map((name) => pick(dice, columns[name]))], `id = ${id}`);
    const deleting = `DELETE FROM notes WHERE id = ${id}`;
    const roll = dice.below(100);
    if (roll < 35) return inserting;
    if (roll < 65) return `UPDATE notes SET ${setting(dice, columns)} WHERE id = ${id}`;
    if (roll < 77) return deleting;
    if (roll < 90) return `${deleting};\n${inserting}`;
    return move("notes", `id = ${other}`, `id = ${id}`, `id = ${other}`);
  },
  tags(dice) {
    const [[a, b], [c, d]] = [pick(dice, TAGS), pick(dice, TAGS)];
    const inserting = insert("tags", "a, b", `${a}, ${b}`, `a = ${a} AND b = ${b}`);
    const deleting = `DELETE FROM tags WHERE a = ${a} AND b = ${b}`;
    const roll = dice.below(100);
    if (roll < 50) return inserting;
    if (roll < 70) return deleting;
    if (roll < 80) return `${deleting};\n${inserting}`;
    return move("tags", `a = ${c}, b = ${d}`, `a = ${a} AND b = ${b}`, `a = ${c} AND b = ${d}`);
  },
  loose(dice) {
    const [k, other] = [pick(dice, KEYS), pick(dice, KEYS)];
    const roll = dice.below(100);
    if (roll < 40) return insert("loose", "k, v, w", `${k}, ${pick(dice, LOOSE)}, ${pick(dice, LOOSE)}`, `k = ${k}`);
    if (roll < 70) return `UPDATE loose SET ${setting(dice, { v: LOOSE, w: LOOSE })} WHERE k = ${k}`;
    if (roll < 90) return `DELETE FROM loose WHERE k = ${k}`;
    return move("loose", `k = ${other}`, `k = ${k}`, `k = ${other}`);
  },
};
