// The door of the console: which screen an address opens. One screen so far; each loads only its own code.

import { mount } from 'svelte';
import type { Component } from 'svelte';
import App from './App.svelte';
import './fonts.css';
import './tokens.css';
import './base.css';
import { preferredLanguage, speak } from './lang.svelte';
import { startTheme } from './theme.svelte';

export type Screen = () => Promise<{ default: Component }>;

const SCREENS: Record<string, Screen> = {
  '/': () => import('./screens/Dispatcher.svelte'),
};

async function open(): Promise<void> {
  startTheme();
  await speak(preferredLanguage(), false);
  const screen = SCREENS[location.pathname] ?? SCREENS['/'];
  const target = document.getElementById('app');
  if (!target || !screen) throw new Error('The page has no place for the console.');
  mount(App, { target, props: { screen } });
}

void open();
