// The table of signatures that src/shell/web/signature.rs is tested with, asked of the validator of the unmodified Node SDK.
const fs = require("fs");
const path = require("path");
const twilio = require("twilio");

const file = path.join(__dirname, "../../src/shell/web/tests/signatures.json");
const vectors = JSON.parse(fs.readFileSync(file, "utf8"));
// The validators sort names differently where a name is beyond U+FFFF: Python by characters, Node by UTF-16. Tandem follows Python.
const differs = (v) => (v.parameters || []).flat().some((text) => /[\u{10000}-\u{10ffff}]/u.test(text) && text === [...text][0]);
let accepted = 0;
for (const v of vectors) {
  const form = {};
  for (const [name, value] of v.parameters || []) form[name] = name in form ? [].concat(form[name], value) : value;
  const isValid =
    typeof v.body === "string"
      ? twilio.validateRequestWithBody(v.token, v.signature, v.signed_url, v.body)
      : twilio.validateRequest(v.token, v.signature, v.url, form);
  if (!isValid && !differs(v)) throw new Error(`refused: ${JSON.stringify(v)}`);
  const wrong = (v.signature[0] === "A" ? "B" : "A") + v.signature.slice(1);
  if (twilio.validateRequest(v.token, wrong, v.url, form)) throw new Error(`accepted though wrong: ${JSON.stringify(v)}`);
  accepted += isValid;
}
console.log(`= the Node SDK's validator accepts ${accepted} of ${vectors.length} signatures; names beyond U+FFFF it sorts by UTF-16`);
