/** What no text that is shown may hold: what terminals obey or hide, what reorders a line, what XML forbids. */
export const raw =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\p{Cs}]/u;

/** Labels, names and questions that attack where they are shown. */
export const hostileTexts = [
  '\u001b[31mRED\u001b[0m\u001b]0;pwned\u0007</style></title><svg onload=alert(3)>',
  '\u001b[2J\u001b[1;1H<script>alert(4)</script>" onmouseover="alert(5) {{x}} ]]>',
  '\u001b]8;;http://evil.example\u001b\\link\u001b]8;;\u001b\\',
  '\u001bP$q"p\u001b\\\u009b31m\u0090x\u009c', // C1: CSI and DCS in one character
  'cat\r\u001b[2Kdog\b\b\bcow\u007f',
  'cat\nheadlight: all is well\ttab',
  '\u202egpj.exe\u202c \u2066a\u2069',
  'c\u200bat\ufeff\u2060\u00ad',
  'lone \ud83d and \udc00 surrogates \ud800',
  '\u2028line\u2029paragraph\u0085next',
  '\u0000nul\u0001\uffff\ufffe',
  `"'><img src=x onerror=alert(2)> &amp; \`$(id)\` %s {label} {percentage}`,
];
