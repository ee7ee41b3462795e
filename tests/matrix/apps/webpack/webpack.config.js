import HtmlWebpackPlugin from "html-webpack-plugin";

export default {
  mode: "production",
  entry: "./src/main.js",
  output: { clean: true },
  plugins: [new HtmlWebpackPlugin({ template: "./src/index.html" })],
  // SQLite is more than the 244 kB from which webpack warns.
  performance: { hints: false },
};
