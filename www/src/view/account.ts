// The account menu: another account with databases of its own, or, to see what happens then, another account's token for
// the databases that are open. Called by main.

import { accounts, addressOf, type Session } from "../session";
import { byId, make, setText } from "./template";

export function accountMenu(session: Session, signInAs: (user: string) => Promise<void>): { show(): void } {
  const device = session.devices.length === 1 ? session.devices[0] : undefined;
  const other = accounts(session.user).find((name) => name !== session.user) ?? "work";
  byId("accounts").replaceChildren(
    ...accounts(session.user).map((name) => {
      const link = make("a", "menu-item", make("span", "avatar", name.charAt(0)), name);
      link.href = addressOf(name, device);
      if (name === session.user) link.ariaCurrent = "true";
      return make("li", "", link);
    }),
  );
  byId<HTMLFormElement>("account-other").addEventListener("submit", (event) => {
    event.preventDefault();
    location.assign(addressOf(byId<HTMLInputElement>("account-new").value, device));
  });
  const mismatch = byId<HTMLButtonElement>("mismatch");
  mismatch.addEventListener("click", () => {
    byId("account-menu").hidePopover();
    void signInAs(session.signedInAs === session.user ? other : session.user);
  });

  const show = (): void => {
    const { user, signedInAs } = session;
    const own = user === signedInAs;
    setText(byId("account-name"), signedInAs);
    setText(byId("account-mark"), signedInAs.charAt(0));
    setText(
      byId("mismatch-text"),
      own ? "And if the token becomes another user’s while these databases stay?" : `The relay knows this page as ${signedInAs}. Its databases are ${user}’s.`,
    );
    setText(mismatch, own ? `Sign in as ${other}, keep ${user}’s tasks` : `Sign in as ${user} again`);
  };
  show();
  return { show };
}
