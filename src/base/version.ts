/** Of the package, as package.json says it. A page has no package.json to read. */
export const version = '0.1.0';
