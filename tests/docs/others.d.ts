// What blocks import of others and the tests have no types of.
declare module "node:*";
declare const Buffer: any;
