import { worlds } from "./seeds.mjs";

worlds("plain", "real databases are equal after every world on a relay that only forwards");
