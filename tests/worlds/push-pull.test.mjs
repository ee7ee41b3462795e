import { worlds } from "./seeds.mjs";

worlds("push-pull", "real databases are equal after every world on a server of the push-pull contract");
