import { worlds } from "./seeds.mjs";

worlds("storing", "real databases are equal after every world on a relay that stores");
