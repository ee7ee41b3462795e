// What blocks import of others and the tests have no types of.
declare module "node:*";
declare module "react";
declare module "react/jsx-runtime";
declare const Buffer: any;
